// @ts-check
import { html, useEffect, useMemo, useRef } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { above, Breadcrumbs, ConnectorFacts, lastUsable } from './coverage.js';
import { DayMarks, firstOf } from './days.js';
import { EventRow } from './events.js';
import { Failed, Figure, Reading, Unit } from './figure.js';
import { age, moment, NO_DATA, num, pileNumber } from './format.js';
import { Place, t, term, Zh } from './i18n.js';
import { useTopics } from './live.js';
import { Mark } from './marks.js';
import { Outline } from './outline.js';
import { Status } from './piles.js';
import { reasonText } from './reasons.js';
import { href, pileHref, stationHref } from './route.js';
import { useTownships } from './townships.js';

const REFRESH = 30_000;

/** Whether a station counts, and if not why. @param {{station: any}} props */
export const Counts = ({ station: s }) => html`<span class=${s.counts ? 'status usable' : 'status'}>${s.counts ? t('counts') : `${t('countsNot')}${t('colon')}${term('not_', s.why_not)}`}</span>`;

/** What kind of place a station stands at; words that the page does not know are shown as the register has them. @param {{name: string}} props */
export function Site({ name }) {
  const word = term('site_', name);
  return /[\u4e00-\u9fff]/.test(word) ? html`<${Zh}>${word}<//>` : word;
}

/** Where and when a station is open, as its register says. @param {any} s */
const termsOf = (s) => [s.site && html`<${Site} name=${s.site} />`, s.access && term('access_', s.access), s.hours, s.seasons, s.mobile && t('mobile')].filter(Boolean);

/**
 * A station's connectors now, as evidence.
 * @param {{station: any, min?: number}} props min: usable minutes that a connector needs
 */
export function ConnectorTable({ station, min = 0 }) {
  const rows = station.piles.flatMap((/** @type {any} */ p) => p.connectors.map((/** @type {any} */ c) => ({ pile: p, c, minutes: p.usable_yesterday_min[c.connector] })));
  if (!rows.length) return html`<p class="empty">${t('noPilesAtStation')}</p>`;
  return html`<table class="rows evidence" aria-label=${t('connectors')}><thead><tr><th scope="col">${t('pile')}</th><th scope="col">${t('connector')}</th><th scope="col">${t('type')}</th><th scope="col">${t('status')}</th>
      <th scope="col" class="n">${t('since')}</th><th scope="col" class="n">${t('lastUsable')}</th><th scope="col" class="n">${t('usableYesterday')}</th></tr></thead>
    <tbody>${rows.map((/** @type {any} */ { pile: p, c, minutes }) => html`<tr key=${p.id + c.connector} data-connector=${`${p.id}:${c.connector}`}>
      <th scope="row"><a href=${pileHref(p.id)}>${pileNumber(p.id)}</a></th><td data-label=${t('connector')}>${c.connector}</td>
      <td data-label=${t('type')}>${t(p.dc ? 'dc' : 'ac')} ${num(p.power_kw)}<${Unit}>kW<//></td>
      <td data-label=${t('status')}><${Figure} value=${c.status + c.silent}><${Status} connector=${c} /><//></td>
      <td class="n live" data-label=${t('since')} title=${moment(c.since)}>${age(c.since)}</td><td class="n live" data-label=${t('lastUsable')}>${c.last_usable ? moment(c.last_usable) : c.status ? t('never') : NO_DATA}</td>
      <td class=${minutes !== undefined && minutes < min ? 'n fault' : 'n'} data-label=${t('usableYesterday')}>${minutes === undefined ? NO_DATA : html`${num(minutes)}<${Unit}>min<//>`}</td></tr>`)}</tbody></table>`;
}

/** @param {{station: any, min: number}} props */
const StationEvidence = ({ station: s, min }) => html`<section class="station-evidence" data-station=${s.id} aria-labelledby=${'st-' + s.id}>
  <header><h3 id=${'st-' + s.id}><a href=${stationHref(s.id)}><${Zh}>${s.name || s.station}<//></a></h3>
    <p><${Counts} station=${s} /></p><p><${Zh}>${s.operator_name || s.operator}<//>${termsOf(s).map((text) => html` · ${text}`)}</p></header>
  <${ConnectorTable} station=${s} min=${min} /></section>`;

/** A township: what it counts as, and the evidence. @param {{code: string}} props of 9 digits */
export function TownshipPage({ code }) {
  const [{ data, error }, county] = useTopics([`coverage:${code.slice(0, 6)}:all`, 'coverage:' + code.slice(0, 6)]);
  const { rows } = useTownships(code, 'all', useMemo(() => data ? data.children.filter((/** @type {any} */ c) => c.division === code) : undefined, [data]));
  const row = rows.get(code);
  const { data: page, error: failed, retry } = useGet('townships/' + code, {}, REFRESH);
  const told = row ? `${row.state} ${row.online} ${row.usable} ${row.charging} ${row.fault}` : '', before = useRef('');
  useEffect(() => {
    if (before.current && before.current !== told) retry();
    before.current = told;
  }, [told]);
  if (error) return html`<p class="empty">${error}</p>`;
  const kept = page && page.public_stations.length + page.stations_of_others > 0;
  return html`<article class="division township" data-township=${code} data-loaded=${page ? 'yes' : undefined}>
    <header class="title-line">
      <${Breadcrumbs} codes=${above(code)}>${row && html`<${Place} code=${code} name=${row.name} />`}<//>
      <h1>${row ? html`<${Place} code=${code} name=${row.name} />` : NO_DATA}<small>${code}</small></h1>
      ${row && html`<p class="covered"><${Figure} value=${row.state} class=${'share-figure state-' + row.state}><${Mark} state=${row.state} notObserved=${row.not_observed} /> ${t(/** @type {any} */ (row.state + 'Long'))}<//>
        <span class="live">${reasonText(row)}</span></p>
      <p class="legend"><span>${t('since')} <b class="live">${age(row.since)}</b></span><span>${t('lastUsable')} <b class="live">${lastUsable(row)}</b></span>
        ${page && html`<span>${page.proven ? t('proven') : t('notProven')}</span>`}${row.not_observed && html`<span>${t('notObservedLong')}</span>`}</p>`}
    </header>
    <div class="main-column">
      <section aria-labelledby="days-title"><header><h2 id="days-title">${t('last30')}</h2><p>${t('last30Note')}</p></header>
        ${page ? html`<${DayMarks} days=${page.days} pitch=${16} height=${27} />` : html`<${Reading} />`}
        ${page && page.days.length > 0 && html`<p class="caption day-ends"><span>${firstOf(page.days).slice(5)}</span><span>${page.days[page.days.length - 1].date.slice(5)}</span></p>
          <details><summary>${t('byDayTable')}</summary><table class="rows"><thead><tr><th scope="col">${t('stripDate')}</th><th scope="col">${t('state')}</th><th scope="col">${t('basis')}</th></tr></thead>
          <tbody>${[...page.days].reverse().map((d) => html`<tr key=${d.date}><th scope="row">${d.date}</th><td class=${'state-' + d.state}><${Mark} state=${d.state} notObserved=${d.not_observed} /> ${t(d.state)}</td><td>${term('why_', d.reason)}</td></tr>`)}</tbody></table></details>`}</section>
      <section aria-labelledby="evidence-title"><header><h2 id="evidence-title">${t('evidence')}</h2>${page && html`<p>${t('evidenceRule', { min: num(page.min_usable_min), hours: num(page.window_hours), policy: page.policy })}</p>`}</header>
        ${failed && !page ? html`<${Failed} error=${failed} retry=${retry} />` : !page && html`<${Reading} />`}
        ${page && !kept && html`<p class="empty">${t('noStationHere')}</p>`}
        ${page && page.public_stations.map((/** @type {any} */ s) => html`<${StationEvidence} key=${s.id} station=${s} min=${page.min_usable_min} />`)}
        <p class="caption">${t('publicOnly')} · <a class="link" href=${href(['piles'], { division: code })}>${t('allPilesHere')}</a></p>
        ${page && page.stations_of_others > 0 && html`<p class="empty">${t('stationsOfOthers', { n: num(page.stations_of_others) })}</p>`}</section>
      <section class="events list" aria-labelledby="happened-title"><header><h2 id="happened-title">${t('happened')}</h2>${page && html`<p>${t('sinceDay', { date: page.events_from })}</p>`}</header>
        ${page && !page.events.length && html`<p class="empty">${t('nothingHappened')}</p>`}
        ${page && html`<ol>${page.events.map((/** @type {any} */ e) => html`<${EventRow} key=${e.id} event=${e} dated />`)}</ol>`}</section>
    </div>
    <aside>${county.data && html`<${Outline} code=${county.data.division} children=${[]} towns=${county.data.children} selected=${code} />`}
      <${ConnectorFacts} counts=${data && data.children.find((/** @type {any} */ c) => c.division === code)} note="" /></aside>
  </article>`;
}
