// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { FaultTable } from './faults.js';
import { Failed, Reading, Unit } from './figure.js';
import { day, NO_DATA, num, percent } from './format.js';
import { t, term, Zh } from './i18n.js';
import { href, pileHref, route, setQuery } from './route.js';
import { useStore } from './store.js';
import { SubNav } from './subnav.js';
import { Rows, sorted } from './table.js';

const REFRESH = 30_000;
const MONTHS = 12;

/** This month and those before it, like 2025-11. */
function months() {
  const [year, month] = day(Date.now()).split('-').map(Number);
  return Array.from({ length: MONTHS }, (_, i) => new Date(Date.UTC(year, month - 1 - i, 1)).toISOString().slice(0, 7));
}

/** @param {any} row */
const name = (row) => row.name || row.operator || t('nobodysMessages');

/** @param {any} row */
const rejected = (row) => Object.values(row.rejects).reduce((/** @type {number} */ n, c) => n + Number(c), 0);

/** Messages whose clock was more than a minute off, or so wrong that it does not count. @param {any} row @param {number[]} bounds */
function offClock(row, bounds) {
  const ahead = bounds.findLastIndex((b) => b <= -60);
  return row.off_clock + row.delays.slice(0, ahead + 1).reduce((/** @type {number} */ n, /** @type {number} */ c) => n + c, 0);
}

/**
 * How long messages were under way: a bar for each bound, in the order of time.
 * @param {{row: any, bounds: number[]}} props
 */
function Delays({ row, bounds }) {
  const all = row.delays.reduce((/** @type {number} */ n, /** @type {number} */ c) => n + c, 0);
  if (!all) return NO_DATA;
  const most = Math.max(...row.delays);
  const names = [...bounds.map((b) => '≤ ' + duration(b)), '> ' + duration(bounds[bounds.length - 1])];
  const said = row.delays.map((/** @type {number} */ c, /** @type {number} */ i) => c ? `${names[i]}: ${percent(c, all)}` : '').filter(Boolean).join(' · ');
  return html`<svg class="delays" viewBox=${`0 0 ${row.delays.length * 8} 20`} role="img" aria-label=${said}><title>${said}</title>
    ${row.delays.map((/** @type {number} */ c, /** @type {number} */ i) => html`<rect key=${i} class=${bounds[i] === 5 ? 'on-time' : ''} x=${i * 8} y=${c ? 19 - Math.max(1, c / most * 18) : 19} width="6" height=${c ? Math.max(1, c / most * 18) : 0} /><rect class="floor" x=${i * 8} y="19" width="6" height="1" />`)}</svg>`;
}

/** @param {number} s */
function duration(s) {
  const sign = s < 0 ? '−' : '', n = Math.abs(s);
  return sign + (n < 60 ? `${n} s` : n < 3600 ? `${n / 60} min` : `${n / 3600} h`);
}

/** @param {any} data @returns {import('./table.js').Column[]} */
const columns = (data) => [
  { key: 'operator', name: t('operator'), by: name, cell: (r) => html`<${Zh}>${name(r)}<//>` },
  { key: 'messages', name: t('messages'), by: (r) => r.messages, down: true, class: 'n main', cell: (r) => num(r.messages) },
  { key: 'completeness', name: t('completeness'), by: (r) => r.completeness ?? 2, class: 'n', cell: (r) => r.completeness === null ? NO_DATA : percent(r.completeness, 1, 2) },
  { key: 'missing', name: t('missing'), by: (r) => r.missing, down: true, class: 'n', cell: (r) => num(r.missing) },
  { key: 'twice', name: t('twice'), by: (r) => r.twice, down: true, class: 'n', cell: (r) => num(r.twice) },
  { key: 'restarts', name: t('restarts'), by: (r) => r.restarts, down: true, class: 'n', cell: (r) => num(r.restarts) },
  { key: 'late', name: t('lateOver', { n: num(data.late_after_h) }), by: (r) => r.late, down: true, class: 'n', cell: (r) => num(r.late) },
  { key: 'delays', name: t('delays'), by: (r) => r.delays[r.delays.length - 1], down: true, class: 'spark-cell', cell: (r) => html`<${Delays} row=${r} bounds=${data.delay_bounds_s} />` },
  { key: 'clock', name: t('offClock'), by: (r) => offClock(r, data.delay_bounds_s), down: true, class: 'n', cell: (r) => num(offClock(r, data.delay_bounds_s)) },
  { key: 'rejects', name: t('rejects'), by: rejected, down: true, class: 'n', cell: (r) => rejected(r) ? html`<a href=${href(['rejects'], { operator: r.operator })} title=${Object.entries(r.rejects).map(([reason, n]) => `${term('rej_', reason)} ${num(Number(n))}`).join(' · ')}>${num(rejected(r))}</a>` : num(0) },
  { key: 'seldom', name: t('seldom'), by: (r) => r.seldom_piles, down: true, class: 'n', cell: (r) => num(r.seldom_piles) },
  { key: 'corrections', name: t('corrections'), by: (r) => r.corrections, down: true, class: 'n', cell: (r) => html`<span title=${r.corrected.map((/** @type {any} */ c) => `${c.pile} ${num(c.count)}`).join(' · ')}>${num(r.corrections)}</span>` },
  { key: 'contradictions', name: t('contradictions'), by: (r) => r.contradiction_piles, down: true, class: 'n sub', cell: (r) => html`<span class=${r.contradiction_piles ? 'fault' : ''} data-label=${t('contradictions')}>${num(r.contradiction_piles)}</span>` },
];

/** What cannot be so, each with its evidence. @param {{rows: any[]}} props */
function Contradictions({ rows }) {
  const all = rows.flatMap((r) => r.contradictions.map((/** @type {any} */ c) => ({ ...c, operator: name(r) })));
  return html`<section class="panel" aria-labelledby="contradictions-title"><header><h2 id="contradictions-title">${t('contradictions')}</h2><p>${t('contradictionsNote')}</p></header>
    ${all.length ? html`<table class="rows ledger evidence" aria-labelledby="contradictions-title"><thead><tr><th scope="col">${t('pile')}</th><th scope="col">${t('operator')}</th><th scope="col">${t('contradiction')}</th><th scope="col">${t('evidence')}</th></tr></thead>
      <tbody>${all.map((c) => html`<tr key=${c.what + c.pile}><th scope="row"><a href=${pileHref(c.pile)}>${c.pile}</a></th><td class="main"><${Zh}>${c.operator}<//></td><td class="sub">${term('con_', c.what)}</td>
        <td class="sub quiet">${t(c.what === 'fault_as_offline' ? 'toldOffline' : 'neverCharges', { from: c.from, until: c.until, kwh: num(c.value), n: num(c.value) })}</td></tr>`)}</tbody></table>` : html`<p class="empty">${t('noContradictions')}</p>`}
  </section>`;
}

/** Piles that are silent too often. @param {{rows: any[], share: number}} props */
function Seldom({ rows, share }) {
  const all = rows.flatMap((r) => r.seldom.map((/** @type {any} */ s) => ({ ...s, operator: name(r) })));
  if (!all.length) return null;
  return html`<section class="panel" aria-labelledby="seldom-title"><header><h2 id="seldom-title">${t('seldom')}</h2><p>${t('seldomNote', { share: num(share * 100) + '%' })}</p></header>
    <table class="rows ledger evidence" aria-labelledby="seldom-title"><thead><tr><th scope="col">${t('pile')}</th><th scope="col">${t('operator')}</th><th scope="col" class="n">${t('unknownTime')}</th><th scope="col" class="n">${t('shareOf')}</th></tr></thead>
      <tbody>${all.map((s) => html`<tr key=${s.pile}><th scope="row"><a href=${pileHref(s.pile)}>${s.pile}</a></th><td class="main"><${Zh}>${s.operator}<//></td>
        <td class="n sub">${num(s.unknown_min / 60, 1)}<${Unit}>h<//></td><td class="n">${percent(s.unknown_min, s.expected_min)}</td></tr>`)}</tbody></table></section>`;
}

/** What came of operators' messages, and what cannot be so. */
export function Quality() {
  const { query } = useStore(route);
  const month = query.month || months()[0];
  const { data, error, retry } = useGet('quality', { month }, REFRESH);
  const shown = data ? columns(data) : [];
  return html`<${SubNav} part="quality" /><section class="panel list" aria-labelledby="quality-title">
    <header><h1 id="quality-title">${t('quality')}</h1><p>${t('qualityNote')}</p></header>
    <div class="controls"><select aria-label=${t('month')} value=${month} onChange=${(/** @type {any} */ e) => setQuery({ month: e.target.value })}>${months().map((m) => html`<option key=${m} value=${m}>${m}</option>`)}</select></div>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !data.operators.length && html`<p class="empty">${t('noOperators')}</p>`}
    ${data && data.operators.length > 0 && html`<${Rows} columns=${shown} rows=${sorted(data.operators, shown, query.sort)} sort=${query.sort} hook=${(/** @type {any} */ r) => ({ 'data-operator': r.operator })} class="ledger quality" label=${t('quality')} />`}
  </section>
  ${data && html`<${Contradictions} rows=${data.operators} /><${Seldom} rows=${data.operators} share=${data.seldom_share} />
  <section class="panel" aria-labelledby="codes-title"><header><h2 id="codes-title">${t('faultCodes')}</h2><p>${t('faultCodesMonth')}</p></header>
    <${FaultTable} piles faults=${data.operators.flatMap((/** @type {any} */ r) => r.faults.map((/** @type {any} */ f) => ({ ...f, operator: name(r) })))} labelledby="codes-title" /></section>`}`;
}
