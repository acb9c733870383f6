// @ts-check
import { html, useMemo, useState } from './vendor/htm/standalone.mjs';
import { may } from './account.js';
import { me, useGet } from './api.js';
import { PileChart, rangeChoices, rangeOf } from './chart.js';
import { above, Breadcrumbs } from './coverage.js';
import { FaultTable } from './faults.js';
import { Failed, Figure, Reading, Segments, Unit } from './figure.js';
import { age, clock, day, moment, NO_DATA, num, percent, pileNumber, span } from './format.js';
import { lang, Place, t, term, Zh } from './i18n.js';
import { useTopics } from './live.js';
import { Outline } from './outline.js';
import { Status } from './piles.js';
import { divisionHref, pileHref, route, setQuery, stationHref } from './route.js';
import { useStore } from './store.js';
import { Strip } from './strip.js';

/** @type {Record<string, import('./i18n.js').Word>} */
const uses = { public: 'kindPublic', dedicated: 'kindDedicated', residential: 'kindResidential' };

/** @type {[import('./i18n.js').Word, string, string, number][]} name, field, unit, decimals */
const values = [
  ['powerShort', 'power_kw', 'kW', 1], ['voltage', 'voltage_v', 'V', 1], ['current', 'current_a', 'A', 1], ['soc', 'soc_pct', '%', 0],
  ['energy', 'energy_kwh', 'kWh', 2], ['meter', 'meter_kwh', 'kWh', 1], ['temp', 'temp_c', '°C', 1],
];

/** The clock where it is of today, else the day too. @param {string} at */
const deviceTime = (at) => day(Date.parse(at)) === day(Date.now()) ? clock(Date.parse(at)) : moment(at);

const DAYS_EVERY = 10 * 60_000; // a day closes once a day
const REJECTS_ASKED = 500, REJECTS_SHOWN = 20, FAULTS_SHOWN = 20;
const MONTH = 30 * 86_400_000;

/** The last 90 days, and availability by each definition over its own time. @param {{id: string}} props */
function Days({ id }) {
  const { data, error, retry } = useGet(`piles/${encodeURIComponent(id)}/days`, {}, DAYS_EVERY);
  return html`<section aria-labelledby="strip-title"><header><h2 id="strip-title">${t('last90')}</h2><p>${t('last90Note')}</p></header>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && html`<${Strip} days=${data.days} label=${t('last90')} />
    <ul class="shares" aria-label=${t('availability')}>${data.availability.map((/** @type {any} */ a, /** @type {number} */ i) => html`<li key=${i} data-definition=${a.definition}>
      <span class="caption">${lang.value === 'zh' ? a.name_zh : a.name_en}</span><b class="kpi">${a.share === null ? NO_DATA : percent(a.up_min, a.of_min)}</b>
      <span class="caption">${a.from} ${t('until')} ${a.to}</span>
      <span class="caption">${a.share === null ? t(/** @type {any} */ ('notMeasured_' + a.definition)) : t('ofMinutes', { up: num(a.up_min), of: num(a.of_min) })}${a.asked !== null && ` · ${t('asked', { share: percent(a.asked, 1, 0) })}`}</span></li>`)}</ul>`}
  </section>
  ${data && html`<section aria-labelledby="codes-title"><header><h2 id="codes-title">${t('faultCodes')}</h2><p>${t('faultCodesNote')}</p></header><${FaultTable} faults=${data.faults} labelledby="codes-title" /></section>
  ${data.corrections.length > 0 && html`<section aria-labelledby="late-title"><header><h2 id="late-title">${t('corrections')}</h2><p>${t('correctionsNote')}</p></header>
    <table class="rows" aria-labelledby="late-title"><thead><tr><th scope="col">${t('day')}</th><th scope="col">${t('connector')}</th><th scope="col">${t('status')}</th><th scope="col">${t('toldAt')}</th><th scope="col">${t('cameAt')}</th></tr></thead>
      <tbody>${data.corrections.map((/** @type {any} */ c) => html`<tr key=${c.date + c.connector + c.status}><th scope="row">${c.date}</th><td>${c.connector}</td><td>${term('st_', c.status)}</td><td>${moment(c.told)}</td><td>${moment(c.received)}</td></tr>`)}</tbody></table></section>`}`}`;
}

const FAULT = 255; // T/CEC 102

/** Runs of hours at whose end a connector told a fault, the newest first. @param {any[]} rows of the history, by hour */
function faultsOf(rows) {
  /** @type {{connector: string, from: string, to: string}[]} */
  const runs = [];
  /** @type {Map<string, any>} */
  const open = new Map();
  for (const row of rows) {
    const run = open.get(row.connector);
    if (row.status === undefined) continue;
    if (row.status !== FAULT) { open.delete(row.connector); continue; }
    if (run) { run.to = row.at; continue; }
    const next = { connector: row.connector, from: row.at, to: row.at };
    runs.push(next);
    open.set(row.connector, next);
  }
  return runs.reverse();
}

/** What was told as faults in the last 30 days. @param {{id: string}} props */
function Faults({ id }) {
  const [to] = useState(() => Date.now());
  const { data, error, retry } = useGet(`piles/${encodeURIComponent(id)}/history`, { from: new Date(to - MONTH).toISOString(), to: new Date(to).toISOString(), step: '1h' });
  const runs = useMemo(() => data ? faultsOf(data.rows) : [], [data]);
  return html`<section aria-labelledby="faults-title"><header><h2 id="faults-title">${t('faultsTold')}</h2><p>${t('faultsNote')}</p></header>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !runs.length && html`<p class="empty">${t('noFaults')}</p>`}
    ${runs.length > 0 && html`<table class="rows faults" aria-labelledby="faults-title"><thead><tr><th scope="col">${t('from')}</th><th scope="col">${t('until')}</th><th scope="col">${t('connector')}</th><th scope="col" class="n">${t('lasting')}</th></tr></thead>
      <tbody>${runs.slice(0, FAULTS_SHOWN).map((r) => html`<tr key=${r.connector + r.from}><th scope="row">${moment(r.from)}</th><td>${moment(new Date(Date.parse(r.to) + 3_600_000).toISOString())}</td><td>${r.connector}</td><td class="n fault">${span(Date.parse(r.to) - Date.parse(r.from) + 3_600_000)}</td></tr>`)}</tbody></table>`}
  </section>`;
}

/** Messages of the pile that could not be used. @param {{id: string, operator: string}} props */
function PileRejects({ id, operator }) {
  const { data, error, retry } = useGet('rejects', { operator, limit: REJECTS_ASKED }, 60_000);
  const rows = data ? data.rejects.filter((/** @type {any} */ r) => r.pile === pileNumber(id)).slice(0, REJECTS_SHOWN) : [];
  return html`<section aria-labelledby="pile-rejects-title"><header><h2 id="pile-rejects-title">${t('rejects')}</h2><p>${t('pileRejectsNote')}</p></header>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !rows.length && html`<p class="empty">${t('noPileRejects')}</p>`}
    ${rows.length > 0 && html`<table class="rows" aria-labelledby="pile-rejects-title"><thead><tr><th scope="col">${t('time')}</th><th scope="col">${t('reason')}</th><th scope="col" class="n">${t('count')}</th><th scope="col">${t('sample')}</th></tr></thead>
      <tbody>${rows.map((/** @type {any} */ r, /** @type {number} */ i) => html`<tr key=${i}><th scope="row">${moment(r.at)}</th><td>${term('rej_', r.reason)}</td><td class="n">${num(r.count)}</td><td><code>${r.sample}</code></td></tr>`)}</tbody></table>`}
  </section>`;
}

/** One pile: what it is, what it does now, what it did. @param {{id: string}} props */
export function PilePage({ id }) {
  const { query } = useStore(route);
  const { data: pile, error, retry } = useGet('piles/' + encodeURIComponent(id));
  const [live] = useTopics(['pile:' + id]);
  const told = new Map((live.data ? live.data.connectors : []).map((/** @type {any} */ c) => [c.connector, c]));
  if (error) return html`<${Failed} error=${error} retry=${retry} />`;
  if (!pile) return html`<${Reading} />`;
  const connectors = pile.connectors.map((/** @type {any} */ c) => ({ ...c, ...told.get(c.connector), since: c.since, told: told.get(c.connector) }));
  const range = rangeOf(query.range);
  return html`<article class="division pile" data-pile=${pile.id}>
    <header class="title-line">
      <${Breadcrumbs} codes=${[...above(pile.township), pile.township]}>${pileNumber(pile.id)}<//>
      <h1><${Zh}>${pile.station_name}<//> · ${t('pileNo', { n: pileNumber(pile.id) })}</h1>
      <p class="meta"><a href=${divisionHref(pile.township)}><${Place} code=${pile.township} name=${`${pile.county_name} ${pile.township_name}`} /></a> · <${Zh}>${pile.operator_name}<//> (${pile.operator})
        · ${t(pile.dc ? 'dc' : 'ac')} ${num(pile.power_kw)} kW · ${t('connectorsOf', { n: num(pile.connectors.length) })}</p>
    </header>
    <div class="main-column">
      <section aria-labelledby="live-title"><header><h2 id="live-title">${t('liveValues')}</h2><p>${t('liveNote')}</p></header>
        <table class="rows live-values" aria-labelledby="live-title"><thead><tr><th scope="col">${t('connector')}</th><th scope="col">${t('status')}</th>
          ${values.map(([name, field]) => html`<th key=${field} scope="col" class="n">${t(name)}</th>`)}<th scope="col" class="n">${t('deviceTime')}</th></tr></thead>
          <tbody>${connectors.map((/** @type {any} */ c) => html`<tr key=${c.connector} data-connector=${c.connector}>
            <th scope="row">${t('connectorNo', { n: c.connector })}</th><td><${Figure} value=${c.status}><${Status} connector=${c} /><//></td>
            ${values.map(([name, field, unit, decimals]) => html`<td key=${field} class="n live" data-label=${t(name)}>${num(c.told?.[field], decimals)}${c.told?.[field] !== undefined && html`<${Unit}>${unit}<//>`}</td>`)}
            <td class="n live" data-label=${t('deviceTime')}>${c.told ? deviceTime(c.told.at) : NO_DATA}</td>
          </tr>`)}</tbody></table></section>
      <${Days} id=${pile.id} />
      <section aria-labelledby="chart-title"><header><h2 id="chart-title">${t('powerAndSoc')}</h2>
        <${Segments} label=${t('range')} value=${range} choices=${rangeChoices()} onChoose=${(/** @type {string} */ v) => setQuery({ range: v === '1h' ? '' : v })} /></header>
        <${PileChart} key=${range} id=${pile.id} range=${range} live=${live.data ? live.data.connectors : []} /></section>
      <${Faults} id=${pile.id} />
      ${may(useStore(me), 'records') && html`<${PileRejects} id=${pile.id} operator=${pile.operator} />`}
    </div>
    <aside><section aria-labelledby="facts-title"><header><h2 id="facts-title">${t('facts')}</h2></header>
      <dl class="facts">${[
        [t('station'), html`<a class="link" href=${stationHref(`${pile.operator}:${pile.station}`)}><${Zh}>${pile.station_name}<//></a>`], [t('stationId'), pile.station], [t('pileId'), pile.id],
        ...(pile.names.length > 1 ? [[t('alsoKnownAs'), html`${pile.names.map((/** @type {any} */ n) => html`<span key=${n.pile} class="name">${n.pile === pile.id ? n.pile : html`<a class="link" href=${pileHref(n.pile)}>${n.pile}</a>`}${n.from && ` · ${t('fromDay', { day: n.from })}`}${n.document && ` · ${n.document}`}<br /></span>`)}`]] : []), [t('use'), t(uses[pile.kind])],
        [t('rated'), html`${num(pile.power_kw)}<${Unit}>kW<//>`], [t('address'), pile.address ? html`<${Zh}>${pile.address}<//>` : NO_DATA], [t('opened'), pile.opened || NO_DATA],
        [t('coordinates'), pile.lng === null ? NO_DATA : `${num(pile.lng, 4)}, ${num(pile.lat, 4)}`],
        ...pile.connectors.flatMap((/** @type {any} */ c) => [
          [`${t('connectorNo', { n: c.connector })} · ${t('statusSince')}`, age(c.since)], [`${t('connectorNo', { n: c.connector })} · ${t('lastUsable')}`, moment(c.last_usable)],
        ]),
      ].map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>
      ${pile.lng !== null && html`<${Outline} code=${pile.township.slice(0, 6)} children=${[]} towns=${[]} point=${[pile.lng, pile.lat]} />`}</aside>
  </article>`;
}
