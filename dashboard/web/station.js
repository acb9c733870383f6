// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { above, Breadcrumbs } from './coverage.js';
import { Failed, Reading } from './figure.js';
import { NO_DATA, num } from './format.js';
import { Place, t, term, Zh } from './i18n.js';
import { Outline } from './outline.js';
import { divisionHref } from './route.js';
import { ConnectorTable, Counts, Site } from './township.js';

const REFRESH = 15_000;

/** A station and its piles. @param {{id: string}} props {operator}:{station} */
export function StationPage({ id }) {
  const { data: s, error, retry } = useGet('stations/' + encodeURIComponent(id), {}, REFRESH);
  if (error && !s) return html`<div class="panel"><${Failed} error=${error} retry=${retry} /></div>`;
  if (!s) return html`<div class="panel"><${Reading} /></div>`;
  const connectors = s.piles.reduce((/** @type {number} */ n, /** @type {any} */ p) => n + p.connectors.length, 0);
  return html`<article class="division" data-station=${s.id}>
    <header class="title-line">
      <${Breadcrumbs} codes=${[...above(s.township), s.township]}><${Zh}>${s.name || s.station}<//><//>
      <h1><${Zh}>${s.name || s.station}<//><small>${s.id}</small></h1>
      <p class="meta"><a href=${divisionHref(s.township)}><${Place} code=${s.township} name=${`${s.county_name} ${s.township_name}`} /></a> · <${Zh}>${s.operator_name}<//> (${s.operator}) · ${t('pilesConnectors', { piles: num(s.piles.length), connectors: num(connectors) })}</p>
      <p><${Counts} station=${s} /></p>
    </header>
    <div class="main-column"><section aria-labelledby="piles-title"><header><h2 id="piles-title">${t('piles')}</h2><p>${t('stationPilesNote')}</p></header><${ConnectorTable} station=${s} /></section></div>
    <aside><section aria-labelledby="facts-title"><header><h2 id="facts-title">${t('facts')}</h2></header>
      <dl class="facts">${[
        [t('use'), term('kind_', s.kind)], [t('access'), s.access ? term('access_', s.access) : t('access_public')], [t('siteKind'), s.site ? html`<${Site} name=${s.site} />` : NO_DATA],
        [t('hours24'), s.hours || t('always')], [t('seasons'), s.seasons || t('allYear')], [t('mobile'), t(s.mobile ? 'yes' : 'no')], [t('address'), s.address ? html`<${Zh}>${s.address}<//>` : NO_DATA],
        [t('opened'), s.opened || NO_DATA], [t('closedDay'), s.closed || NO_DATA], [t('coordinates'), s.lng === null ? NO_DATA : `${num(s.lng, 4)}, ${num(s.lat, 4)}`],
      ].map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>
      ${s.lng !== null && html`<${Outline} code=${s.township.slice(0, 6)} children=${[]} towns=${[]} point=${[s.lng, s.lat]} />`}</aside>
  </article>`;
}
