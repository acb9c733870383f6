// @ts-check
import { html, useState } from './vendor/htm/standalone.mjs';
import { get, useGet } from './api.js';
import { Failed, Reading, Unit } from './figure.js';
import { age, num, pileNumber } from './format.js';
import { Place, t, term, Zh } from './i18n.js';
import { Square, squareOf, statusOf } from './marks.js';
import { divisionHref, pileHref, route, setQuery, stationHref } from './route.js';
import { useStore } from './store.js';

const PAGE = 50;
const REFRESH = 10_000;
const STATUSES = ['idle', 'charging', 'occupied', 'reserved', 'fault', 'offline', 'silent', 'unseen'];

/** What a connector is, as mark and word. @param {{connector: any}} props */
export function Status({ connector: c }) {
  const status = statusOf(c);
  return html`<span class=${'status live ' + squareOf(status)}><${Square} kind=${squareOf(status)} /> ${term('st_', status)}${status === 'fault' && c.fault && ` · ${term('f_', c.fault)}`}</span>`;
}

/** @param {any} pile */
const lastHeard = (pile) => pile.connectors.reduce((/** @type {string} */ last, /** @type {any} */ c) => c.last_heard > last ? c.last_heard : last, '');

/** @param {{piles: any[]}} props */
function PileTable({ piles }) {
  return html`<table class="rows piles" aria-label=${t('piles')}><thead><tr>
      <th scope="col">${t('pile')}</th><th scope="col">${t('station')}</th><th scope="col">${t('township')}</th><th scope="col">${t('operator')}</th>
      <th scope="col">${t('type')}</th><th scope="col">${t('connectors')}</th><th scope="col" class="n">${t('lastHeard')}</th></tr></thead>
    <tbody>${piles.map((pile) => html`<tr key=${pile.id} data-pile=${pile.id}>
      <th scope="row"><a href=${pileHref(pile.id)}>${pileNumber(pile.id)}</a></th>
      <td class="station"><a href=${stationHref(`${pile.operator}:${pile.station}`)}><${Zh}>${pile.station_name}<//></a></td>
      <td class="place"><a href=${divisionHref(pile.township)}><${Place} code=${pile.township} name=${`${pile.county_name} ${pile.township_name}`} /></a></td>
      <td class="operator"><${Zh}>${pile.operator_name || pile.operator}<//></td>
      <td class="type">${t(pile.dc ? 'dc' : 'ac')} ${num(pile.power_kw)}<${Unit}>kW<//></td>
      <td class="connectors">${pile.connectors.map((/** @type {any} */ c) => html`<${Status} key=${c.connector} connector=${c} />`)}</td>
      <td class="n heard live">${age(lastHeard(pile))}</td>
    </tr>`)}</tbody></table>`;
}

/** All piles, by text, place and status. */
export function Piles() {
  const { query } = useStore(route);
  const asked = { q: query.q, status: query.status, division: query.division, operator: query.operator, limit: PAGE };
  const key = JSON.stringify(asked);
  const { data, error, retry } = useGet('piles', asked, REFRESH);
  const [rest, setRest] = useState(/** @type {{key: string, piles: any[], next: string, error: any}} */ ({ key, piles: [], next: '', error: null }));
  const { data: cities } = useGet('coverage');
  const more = rest.key === key && (rest.piles.length > 0 || rest.error) ? rest : null;
  const next = more ? more.next : data ? data.next : '';
  const piles = data ? [...data.piles, ...more ? more.piles : []] : [];
  const load = () => get('piles', { ...asked, cursor: next })
    .then((page) => setRest({ key, piles: [...more ? more.piles : [], ...page.piles], next: page.next, error: null }))
    .catch((err) => setRest({ key, piles: more ? more.piles : [], next, error: err }));
  const submit = (/** @type {any} */ e) => {
    e.preventDefault();
    setQuery({ q: e.target.elements.q.value.trim() });
  };
  return html`<section class="panel list" aria-labelledby="piles-title">
    <header><h1 id="piles-title">${t('piles')}</h1>${data && html`<p>${t('shown', { n: num(piles.length) })}</p>`}</header>
    <form class="controls" role="search" onSubmit=${submit}>
      <input type="search" name="q" maxlength="100" aria-label=${t('search')} placeholder=${t('search')} defaultValue=${query.q || ''} key=${query.q} />
      <button type="submit">${t('searchGo')}</button>
      <select aria-label=${t('status')} value=${query.status || ''} onChange=${(/** @type {any} */ e) => setQuery({ status: e.target.value })}>
        <option value="">${t('anyStatus')}</option>${STATUSES.map((s) => html`<option key=${s} value=${s}>${term('st_', s)}</option>`)}</select>
      <select aria-label=${t('city')} value=${query.division || ''} onChange=${(/** @type {any} */ e) => setQuery({ division: e.target.value })}>
        <option value="">${t('anywhere')}</option>${cities && cities.children.map((/** @type {any} */ c) => html`<option key=${c.division} value=${c.division}>${c.name}</option>`)}</select>
      ${(query.q || query.status || query.division || query.operator) && html`<button type="button" class="link" onClick=${() => setQuery({ q: '', status: '', division: '', operator: '' })}>${t('clear')}</button>`}
    </form>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !piles.length && !next && html`<p class="empty">${t('noPiles')}</p>`}
    ${piles.length > 0 && html`<${PileTable} piles=${piles} />`}
    ${more && more.error && html`<${Failed} error=${more.error} retry=${load} />`}
    ${next && html`<button type="button" class="wide" onClick=${load}>${t('loadMore')}</button>`}
  </section>`;
}
