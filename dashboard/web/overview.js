// @ts-check
import { html, useMemo, useRef } from './vendor/htm/standalone.mjs';
import { may } from './account.js';
import { me } from './api.js';
import { Failed, useFit } from './figure.js';
import { measures } from './classes.js';
import { Events } from './events.js';
import { age } from './format.js';
import { Headline, KeyFigures } from './headline.js';
import { Place, t, zoneName } from './i18n.js';
import { useTopics } from './live.js';
import { Load } from './load.js';
import { League } from './operators.js';
import { CountyMap, CountyTable } from './map.js';
import { Mark } from './marks.js';
import { reasonText } from './reasons.js';
import { divisionHref } from './route.js';
import { tall, useStore } from './store.js';
import { Targets } from './targets.js';
import { useTownships } from './townships.js';
import { Units } from './units.js';

/** @typedef {import('./townships.js').Township} Township */

const LEAST = 5;
/** @type {any[]} */
const nothing = [];

/** The whole province on one sheet. @param {{division: string}} props */
export function Overview({ division }) {
  const [towns, all] = useTopics([`coverage:${division}`, `coverage:${division}:all`]);
  const cities = towns.data ? towns.data.children : nothing;
  const byCity = useTopics(useMemo(() => cities.map((/** @type {any} */ c) => 'coverage:' + c.division), [cities.length]));
  const counties = useMemo(() => byCity.flatMap((told) => told.data ? told.data.children : []), byCity);
  const { rows, loaded, error, retry } = useTownships(division, 'towns', counties);
  return html`<div class="overview">
    <div class="band"><${Headline} counts=${towns.data} /><${KeyFigures} connectors=${all.data && all.data.connectors} /></div>
    <${CountyMap} cities=${cities} counties=${counties} />
    ${error && !loaded ? html`<section class="panel units"><${Failed} error=${error} retry=${retry} /></section>` : html`<${Units} cities=${cities} rows=${rows} />`}
    <${Events} division=${division} />
    <div class="foot">${may(useStore(me), 'load') && html`<${Load} division=${division} />`}
    <${Targets} division=${division} />
    ${useStore(tall) && html`<section class="panel county-list" aria-labelledby="counties-title"><header><h2 id="counties-title">${t('counties')}</h2></header>
      <${CountyTable} counties=${counties} cities=${cities} measure=${measures.effective} /></section>`}
    <${League} division=${division} />
    <${PaperTowns} rows=${rows} loaded=${loaded} division=${division} /></div>
  </div>`;
}

/**
 * Towns that have a station and none that works; those that have been so for longest come first.
 * @param {{rows: Map<string, Township>, loaded: boolean, division: string}} props
 */
function PaperTowns({ rows, loaded, division }) {
  const box = useRef(null);
  const fit = useFit(box, LEAST);
  const paper = useMemo(() => [...rows.values()].filter((r) => r.state === 'failing' || r.state === 'unverified')
    .sort((a, b) => (a.since || '') < (b.since || '') ? -1 : 1), [rows]);
  const shown = paper.slice(0, fit);
  return html`<section class="panel paper-towns" aria-labelledby="paper-title">
    <header><h2 id="paper-title">${t('paperTowns')}</h2><p>${t('paperTownsNote')}</p><a href=${divisionHref(division, { state: 'paper' })}>${t('all')} ${paper.length || ''}</a></header>
    <ol ref=${box}>${shown.map((r) => html`<li key=${r.division} data-division=${r.division}><a href=${divisionHref(r.division)}>
      <span class="name"><${Mark} state=${r.state} /> <${Place} code=${r.division} name=${`${zoneName(r.county)} ${r.name}`} /></span>
      <span class="why">${reasonText(r)}</span><span class="n">${age(r.since)}</span></a></li>`)}</ol>
    ${loaded && !paper.length && html`<p class="empty">${t('noPaper')}</p>`}
  </section>`;
}
