// @ts-check
import { html, useMemo, useRef, useState } from './vendor/htm/standalone.mjs';
import { Figure, useSize } from './figure.js';
import { num, percent } from './format.js';
import { lang, Place, shortPlaceName, t, zoneName } from './i18n.js';
import { Mark, MarkStrip, STATES } from './marks.js';
import { divisionHref, go } from './route.js';
import { useStore } from './store.js';

/** @typedef {import('./townships.js').Township} Township */

const rank = Object.fromEntries(STATES.map((state, i) => [state, i]));

/** @param {Township} a @param {Township} b */
export const byState = (a, b) => rank[a.state] - rank[b.state] || (a.division < b.division ? -1 : 1);

/**
 * Every town is one mark; a city has a row, the best covered is first.
 * @param {{cities: any[], rows: Map<string, Township>, scale?: number}} props scale: larger for a wall
 */
export function Units({ cities, rows, scale = 1 }) {
  const body = useRef(null);
  const { width } = useSize(body);
  const [over, setOver] = useState(/** @type {Township | null} */ (null));
  const towns = useMemo(() => {
    /** @type {Map<string, Township[]>} */
    const grouped = new Map();
    for (const row of rows.values()) {
      const city = row.division.slice(0, 4);
      grouped.set(city, [...grouped.get(city) || [], row]);
    }
    for (const group of grouped.values()) group.sort(byState);
    return grouped;
  }, [rows]);
  const most = Math.max(1, ...[...towns.values()].map((group) => group.length));
  const columns = Math.ceil(most / 2) + most / 20 / 2.5;
  const narrow = width < 420;
  const room = width - (narrow ? 84 : 124) * scale;
  const pitch = Math.max(2.5, Math.min(9 * scale, Math.floor(room / columns * 2) / 2));
  const sorted = [...cities].sort((a, b) => b.effective / b.total - a.effective / a.total || b.total - a.total);
  const find = (/** @type {any} */ e) => rows.get(e.target.parentNode?.dataset?.division || '') || null;
  return html`<section class="panel units" aria-labelledby="units-title" ref=${body}>
    <header><h2 id="units-title">${t('units')}</h2>
      <p class="legend">${over ? html`<${Mark} state=${over.state} /> <${Place} code=${over.division} name=${zoneName(over.county) + ' ' + over.name} /> ${t(over.state)}`
        : STATES.map((s) => html`<span key=${s}><${Mark} state=${s} /> ${t(s)}</span>`)}</p></header>
    <div class="unit-row head" aria-hidden="true"><span>${t('city')}</span><span>${t('effective')}</span><span></span><span>${t('gap')}</span></div>
    <ul onClick=${(/** @type {any} */ e) => { const row = find(e); if (row) go(divisionHref(row.division)); }}
      onMouseOver=${(/** @type {any} */ e) => setOver(find(e))} onMouseLeave=${() => setOver(null)}>
      ${sorted.map((c) => html`<${CityRow} key=${c.division} city=${c} towns=${towns.get(c.division) || none} pitch=${pitch} height=${8 * scale} />`)}
    </ul>
    <p class="note">${t('unitsNote')}</p>
  </section>`;
}

/** @type {Township[]} */
const none = [];

/** @param {{city: any, towns: Township[], pitch: number, height: number}} props */
function CityRow({ city, towns, pitch, height }) {
  useStore(lang);
  const shown = towns.map((town) => town.division + town.state + town.not_observed + town.changed).join();
  const strip = useMemo(() => html`<${MarkStrip} towns=${towns} pitch=${pitch} height=${height} />`, [shown, pitch, height]);
  return html`<li class="unit-row">
    <a href=${divisionHref(city.division)} aria-label=${`${shortPlaceName(city.division, city.name)} ${percent(city.effective, city.total)} ${t('ofTownsEffective', { n: num(city.effective), of: num(city.total) })}`}>
      <${Place} code=${city.division} name=${city.name} short /></a>
    <${Figure} value=${city.effective}><b>${percent(city.effective, city.total, 0)}</b><//>
    ${strip}
    <span class="live">${num(city.total - city.effective)}</span>
  </li>`;
}
