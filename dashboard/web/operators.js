// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { ExportLinks } from './export.js';
import { Failed, Reading, Segments, Unit } from './figure.js';
import { NO_DATA, num, percent } from './format.js';
import { lang, t, term, Zh } from './i18n.js';
import { href, route, setQuery } from './route.js';
import { useStore } from './store.js';
import { SubNav } from './subnav.js';
import { Rows, sorted } from './table.js';

const REFRESH = 30_000;
const IN_PANEL = 5, ON_WALL = 10;

/** @param {any} row */
const name = (row) => row.name || row.operator;

/** A share by minutes; null is no data. @param {any} a */
const shareText = (a) => a.share === null ? NO_DATA : percent(a.up_min, a.of_min);

/** @param {number | null} hours */
const hoursText = (hours) => hours === null ? NO_DATA : html`${num(hours, 1)}<${Unit}>h<//>`;

/** Whether a figure misses what its definition asks for. @param {any} data @param {any} row */
function misses(data, row) {
  const { asked, above } = data.definitions.find((/** @type {any} */ d) => d.id === data.definition);
  const { share } = row.availability;
  return asked !== null && share !== null && (above ? share <= asked : share < asked);
}

/**
 * The last 30 days, on a scale of its own from the worst day's round 10 % to 100 %; the table has the figure.
 * @param {{days: (number | null)[]}} props
 */
function Spark({ days }) {
  const known = days.filter((d) => d !== null);
  if (known.length < 2) return null;
  const floor = Math.min(0.9, Math.floor(Math.min(.../** @type {number[]} */ (known)) * 10) / 10);
  const x = (/** @type {number} */ i) => 2 + i / (days.length - 1) * 96, y = (/** @type {number} */ d) => 18 - (d - floor) / (1 - floor) * 16;
  let path = '', joined = false;
  days.forEach((d, i) => {
    if (d !== null) path += `${joined ? 'L' : 'M'}${x(i).toFixed(1)} ${y(d).toFixed(1)}`;
    joined = d !== null; // a gap is a gap
  });
  const last = days.findLastIndex((d) => d !== null);
  return html`<svg class="spark" viewBox="0 0 100 20" aria-hidden="true"><path d=${path} /><circle cx=${x(last)} cy=${y(/** @type {number} */ (days[last]))} r="1.8" /></svg>`;
}

/** @param {any} row */
function Rank({ row }) {
  const a = row.availability;
  if (a.rank === null) return html`<span class="unranked" title=${term('unranked_', a.unranked)}>${NO_DATA}</span>`;
  return num(a.rank);
}

/** @param {any} data @returns {import('./table.js').Column[]} */
const columns = (data) => [
  { key: 'operator', name: t('operator'), by: name, cell: (r) => html`<${Zh}>${name(r)}<//>` },
  { key: 'rank', name: t('rank'), by: (r) => r.availability.rank ?? Infinity, class: 'n rank', cell: (r) => html`<${Rank} row=${r} />` },
  { key: 'share', name: t('availability'), by: (r) => r.availability.share ?? -1, down: true, class: 'n main', cell: (r) => html`<b class=${misses(data, r) ? 'fault' : ''}>${misses(data, r) && html`<span aria-hidden="true">▲ </span>`}${shareText(r.availability)}</b>` },
  { key: 'interval', name: t('interval'), by: (r) => r.availability.low ?? -1, class: 'n quiet', cell: (r) => r.availability.low === null ? term('unranked_', r.availability.unranked) : `${num(r.availability.low * 100, 1)}–${num(r.availability.high * 100, 1)}` },
  { key: 'days', name: t('days30'), by: (r) => r.days.filter((/** @type {any} */ d) => d !== null).length, class: 'spark-cell', cell: (r) => html`<${Spark} days=${r.days} />` },
  { key: 'median', name: t('repairMedian'), by: (r) => r.repair.median_h ?? Infinity, class: 'n', cell: (r) => r.repair.median_h === null && r.repair.open > 0 ? t('longer') : hoursText(r.repair.median_h) },
  { key: 'mean', name: t('repairMean'), by: (r) => r.repair.mean_h ?? Infinity, class: 'n', cell: (r) => hoursText(r.repair.mean_h) },
  { key: 'open', name: t('repairOpen'), by: (r) => r.repair.open, down: true, class: 'n', cell: (r) => num(r.repair.open) },
  { key: 'stations', name: t('stations'), by: (r) => r.stations, down: true, class: 'n', cell: (r) => num(r.stations) },
  { key: 'piles', name: t('piles'), by: (r) => r.piles, down: true, class: 'n', cell: (r) => html`<a href=${href(['piles'], { operator: r.operator })}>${num(r.piles)}</a>` },
  { key: 'usable', name: t('usableOf'), by: (r) => r.usable / (r.connectors || 1), down: true, class: 'n sub', cell: (r) => html`<span class="live">${num(r.usable)} · ${num(r.online)}</span> / ${num(r.connectors)}` },
  ...data.operators.some((/** @type {any} */ r) => r.rejects !== null) ? [/** @type {import('./table.js').Column} */ ({ key: 'rejects', name: t('rejectsMonth'), by: (/** @type {any} */ r) => r.rejects ?? -1, down: true, class: 'n', cell: (/** @type {any} */ r) => r.rejects ? html`<a href=${href(['rejects'], { operator: r.operator })}>${num(r.rejects)}</a>` : num(r.rejects) })] : [],
];

/** Which pile must connect, and which does. @param {{rows: any[]}} props */
function Connections({ rows }) {
  const tiers = ['public', 'dedicated', 'residential_service', 'household'];
  const all = tiers.map((tier) => rows.reduce((sum, r) => {
    const c = r.connection.find((/** @type {any} */ x) => x.tier === tier);
    return c ? { registered: sum.registered + c.registered, ever: sum.ever + c.ever, recent: sum.recent + c.recent } : sum;
  }, { registered: 0, ever: 0, recent: 0 }));
  const cell = (/** @type {any} */ c) => c && c.registered ? html`${percent(c.recent, c.registered)} <span class="quiet">${num(c.recent)} / ${num(c.registered)}</span>` : NO_DATA;
  return html`<section class="panel" aria-labelledby="connections-title"><header><h2 id="connections-title">${t('connectionRate')}</h2><p>${t('connectionNote')}</p></header>
    <table class="rows ledger tiers" aria-labelledby="connections-title"><thead><tr><th scope="col">${t('operator')}</th>${tiers.map((tier) => html`<th key=${tier} scope="col" class="n">${term('tier_', tier)}<span class="duty">${term('duty_', tier)}</span></th>`)}</tr></thead>
      <tbody><tr class="sum"><th scope="row">${t('sum')}</th>${all.map((c, i) => html`<td key=${tiers[i]} class="n" data-label=${term('tier_', tiers[i])}>${cell(c)}</td>`)}</tr>
      ${rows.map((r) => html`<tr key=${r.operator}><th scope="row"><${Zh}>${name(r)}<//></th>${tiers.map((tier) => html`<td key=${tier} class="n" data-label=${term('tier_', tier)}>${cell(r.connection.find((/** @type {any} */ c) => c.tier === tier))}</td>`)}</tr>`)}</tbody></table>
  </section>`;
}

/** Operators beside each other. @param {{division: string}} props */
export function Operators({ division }) {
  const { query } = useStore(route);
  const definition = query.definition || 'pilewatch';
  const { data, error, retry } = useGet('operators', { division, definition }, REFRESH);
  const shown = data ? columns(data) : [];
  const about = data && data.definitions.find((/** @type {any} */ d) => d.id === data.definition);
  return html`<${SubNav} part="operators" /><section class="panel list" aria-labelledby="operators-title">
    <header><h1 id="operators-title">${t('operators')}</h1>${data && html`<p>${data.from} – ${data.to} · ${lang.value === 'zh' ? about.name_zh : about.name_en}${data.definition !== 'pilewatch' && ` · ${about.source}`}${about.asked !== null && ` · ${t(about.above ? 'askedAbove' : 'asked', { share: num(about.asked * 100) + '%' })}`}</p>`}</header>
    <div class="controls"><${Segments} label=${t('byDefinition')} value=${definition} choices=${['pilewatch', 'nevi', 'uk'].map((value) => ({ value, name: term('def_', value) }))} onChoose=${(/** @type {string} */ d) => setQuery({ definition: d })} />
      <${ExportLinks} table="operators" params=${{ division, definition }} /></div>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !data.operators.length && html`<p class="empty">${t('noOperators')}</p>`}
    ${data && data.operators.length > 0 && html`<${Rows} columns=${shown} rows=${sorted(data.operators, shown, query.sort)} sort=${query.sort} hook=${(/** @type {any} */ r) => ({ 'data-operator': r.operator })} class="ledger operators" label=${t('operators')} />
      <p class="footnote">${t('leagueNote', { n: num(data.league_from) })} ${t('repairNote')}</p>`}
  </section>
  ${data && data.operators.length > 0 && html`<${Connections} rows=${data.operators} />`}`;
}

/** The operators that have most to answer for, on the overview. @param {{division: string}} props */
export function League({ division }) {
  const { data, error, retry } = useGet('operators', { division }, REFRESH);
  const rows = data ? data.operators.slice(0, IN_PANEL) : [];
  const about = data && data.definitions.find((/** @type {any} */ d) => d.id === data.definition);
  return html`<section class="panel league" aria-labelledby="league-title">
    <header><h2 id="league-title">${t('operators')}</h2>${about && html`<p>${t('days30')} · ${lang.value === 'zh' ? about.name_zh : about.name_en}</p>`}<a href=${href(['operators'])}>${t('all')}</a></header>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${rows.length > 0 && html`<table aria-labelledby="league-title"><thead class="hidden"><tr><th scope="col">${t('operator')}</th><th scope="col">${t('availability')}</th><th scope="col">${t('repairMean')}</th><th scope="col">${t('repairOpen')}</th></tr></thead>
      <tbody>${rows.map((/** @type {any} */ r) => html`<tr key=${r.operator}><th scope="row"><${Zh}>${name(r)}<//></th><td class="n"><b>${shareText(r.availability)}</b></td><td class="n quiet">${hoursText(r.repair.mean_h)}</td><td class="n quiet">${t('openOutages', { n: num(r.repair.open) })}</td></tr>`)}</tbody></table>`}
    ${data && !rows.length && html`<p class="empty">${t('noOperators')}</p>`}
  </section>`;
}

/** The operators beside each other, to be read from afar. @param {{division: string}} props */
export function WallLeague({ division }) {
  const { data, error, retry } = useGet('operators', { division }, REFRESH);
  const rows = data ? data.operators.slice(0, ON_WALL) : [];
  const about = data && data.definitions.find((/** @type {any} */ d) => d.id === data.definition);
  return html`<div class="wall-league">${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !rows.length && html`<p class="empty">${t('noOperators')}</p>`}
    ${rows.length > 0 && html`<table class="rows" aria-label=${t('operators')}><thead><tr><th scope="col" class="n">${t('rank')}</th><th scope="col">${t('operator')}</th><th scope="col" class="n">${lang.value === 'zh' ? about.name_zh : about.name_en}</th><th scope="col" class="n">${t('interval')}</th><th scope="col">${t('days30')}</th><th scope="col" class="n">${t('repairMean')}</th><th scope="col" class="n">${t('repairOpen')}</th><th scope="col" class="n">${t('piles')}</th></tr></thead>
      <tbody>${rows.map((/** @type {any} */ r) => html`<tr key=${r.operator} data-operator=${r.operator}><td class="n"><${Rank} row=${r} /></td><th scope="row"><${Zh}>${name(r)}<//></th><td class="n"><b>${shareText(r.availability)}</b></td>
        <td class="n">${r.availability.low === null ? NO_DATA : `${num(r.availability.low * 100, 1)}–${num(r.availability.high * 100, 1)}`}</td><td><${Spark} days=${r.days} /></td>
        <td class="n">${hoursText(r.repair.mean_h)}</td><td class="n">${num(r.repair.open)}</td><td class="n">${num(r.piles)}</td></tr>`)}</tbody></table>`}
  </div>`;
}
