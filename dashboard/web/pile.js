// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { PileChart } from './chart.js';
import { above, Breadcrumbs } from './coverage.js';
import { Failed, Figure, Reading, Segments, Unit } from './figure.js';
import { age, clock, day, moment, NO_DATA, num, pileNumber } from './format.js';
import { Place, t, Zh } from './i18n.js';
import { useTopics } from './live.js';
import { Status } from './piles.js';
import { divisionHref, route, setQuery } from './route.js';
import { useStore } from './store.js';

/** @type {Record<string, import('./i18n.js').Word>} */
const uses = { public: 'kindPublic', dedicated: 'kindDedicated', residential: 'kindResidential' };

/** @type {[import('./i18n.js').Word, string, string, number][]} name, field, unit, decimals */
const values = [
  ['powerShort', 'power_kw', 'kW', 1], ['voltage', 'voltage_v', 'V', 1], ['current', 'current_a', 'A', 1], ['soc', 'soc_pct', '%', 0],
  ['energy', 'energy_kwh', 'kWh', 2], ['meter', 'meter_kwh', 'kWh', 1], ['temp', 'temp_c', '°C', 1],
];

/** The clock where it is of today, else the day too. @param {string} at */
const deviceTime = (at) => day(Date.parse(at)) === day(Date.now()) ? clock(Date.parse(at)) : moment(at);

/** One pile: what it is, what it does now, what it did. @param {{id: string}} props */
export function PilePage({ id }) {
  const { query } = useStore(route);
  const { data: pile, error, retry } = useGet('piles/' + encodeURIComponent(id));
  const [live] = useTopics(['pile:' + id]);
  const told = new Map((live.data ? live.data.connectors : []).map((/** @type {any} */ c) => [c.connector, c]));
  if (error) return html`<${Failed} error=${error} retry=${retry} />`;
  if (!pile) return html`<${Reading} />`;
  const connectors = pile.connectors.map((/** @type {any} */ c) => ({ ...c, ...told.get(c.connector), since: c.since, told: told.get(c.connector) }));
  const range = query.range === '24h' ? '24h' : '1h';
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
      <section aria-labelledby="chart-title"><header><h2 id="chart-title">${t('powerAndSoc')}</h2>
        <${Segments} label=${t('range')} value=${range} choices=${[{ value: '1h', name: t('range1h') }, { value: '24h', name: t('range24h') }]} onChoose=${(/** @type {string} */ v) => setQuery({ range: v === '24h' ? v : '' })} /></header>
        <${PileChart} key=${range} id=${pile.id} range=${range} live=${live.data ? live.data.connectors : []} /></section>
    </div>
    <aside><section aria-labelledby="facts-title"><header><h2 id="facts-title">${t('facts')}</h2></header>
      <dl class="facts">${[
        [t('station'), html`<${Zh}>${pile.station_name}<//>`], [t('stationId'), pile.station], [t('pileId'), pile.id], [t('use'), t(uses[pile.kind])],
        [t('rated'), html`${num(pile.power_kw)}<${Unit}>kW<//>`], [t('address'), pile.address ? html`<${Zh}>${pile.address}<//>` : NO_DATA], [t('opened'), pile.opened || NO_DATA],
        [t('coordinates'), pile.lng === null ? NO_DATA : `${num(pile.lng, 4)}, ${num(pile.lat, 4)}`],
        ...pile.connectors.flatMap((/** @type {any} */ c) => [
          [`${t('connectorNo', { n: c.connector })} · ${t('statusSince')}`, age(c.since)], [`${t('connectorNo', { n: c.connector })} · ${t('lastUsable')}`, moment(c.last_usable)],
        ]),
      ].map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section></aside>
  </article>`;
}
