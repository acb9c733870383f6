// @ts-check
import { html, useMemo, useRef } from './vendor/htm/standalone.mjs';
import { Failed, useSize } from './figure.js';
import { Events } from './events.js';
import { age } from './format.js';
import { Headline, KeyFigures } from './headline.js';
import { Place, t } from './i18n.js';
import { useTopics } from './live.js';
import { CountyMap } from './map.js';
import { Mark } from './marks.js';
import { reasonText } from './reasons.js';
import { divisionHref } from './route.js';
import { Targets } from './targets.js';
import { useTownships } from './townships.js';
import { Units } from './units.js';

/** @typedef {import('./townships.js').Township} Township */

const ROW = 26; // px, as overview.css has it
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
    <${Targets} division=${division} />
    <${PaperTowns} rows=${rows} loaded=${loaded} division=${division} />
  </div>`;
}

/**
 * Towns that have a station and none that works; those that have been so for longest come first.
 * @param {{rows: Map<string, Township>, loaded: boolean, division: string}} props
 */
function PaperTowns({ rows, loaded, division }) {
  const box = useRef(null);
  const { height } = useSize(box);
  const paper = useMemo(() => [...rows.values()].filter((r) => r.state === 'failing' || r.state === 'unverified')
    .sort((a, b) => (a.since || '') < (b.since || '') ? -1 : 1), [rows]);
  const shown = paper.slice(0, Math.max(5, Math.floor(height / ROW)));
  return html`<section class="panel paper-towns" aria-labelledby="paper-title">
    <header><h2 id="paper-title">${t('paperTowns')}</h2><p>${t('paperTownsNote')}</p><a href=${divisionHref(division, { state: 'paper' })}>${t('all')} ${paper.length || ''}</a></header>
    <ol ref=${box}>${shown.map((r) => html`<li key=${r.division} data-division=${r.division}><a href=${divisionHref(r.division)}>
      <span class="name"><${Mark} state=${r.state} /> <${Place} code=${r.division} name=${`${r.county} ${r.name}`} /></span>
      <span class="why">${reasonText(r)}</span><span class="n">${age(r.since)}</span></a></li>`)}</ol>
    ${loaded && !paper.length && html`<p class="empty">${t('noPaper')}</p>`}
  </section>`;
}
