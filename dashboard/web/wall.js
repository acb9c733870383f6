// @ts-check
import { html, useEffect, useMemo, useRef, useState } from './vendor/htm/standalone.mjs';
import { may } from './account.js';
import { me, useGet } from './api.js';
import { EventLine } from './events.js';
import { Figure, Unit, useSize } from './figure.js';
import { clock, dateAndClock, NO_DATA, num, percent } from './format.js';
import { GapList } from './gaps.js';
import { Place, t } from './i18n.js';
import { connection, STALE_AFTER, useTopics } from './live.js';
import { Curve, Load } from './load.js';
import { CountyMap } from './map.js';
import { Mark, Ring } from './marks.js';
import { WallLeague } from './operators.js';
import { seconds, setTheme, useStore, useStores } from './store.js';
import { useTownships } from './townships.js';
import { Units } from './units.js';

const COUNTIES = 10, GAPS = 10;
const OLD_AFTER = 60_000; // without the server the headline says the time it is of
const LOADS_EVERY = 60_000;
const SHIFT_EVERY = 3_600_000, SHIFTS = [[0, 0], [2, 0], [2, 2], [0, 2]]; // against burn-in, px
/** How much larger what is drawn in px is on a wall: its 11 px are 3.2 units, a unit the 384th of the width. */
const larger = () => innerWidth / 384 * 3.2 / 11;
/** @type {any[]} */
const nothing = [];

/** @typedef {{counts: any, all: any, cities: any[], counties: any[], rows: Map<string, any>, division: string}} Shown */

/** What the wall goes through; ms is how long each is shown. @type {{name: string, word: import('./i18n.js').Word, ms: number, needs?: string, view: (shown: Shown) => any}[]} */
const views = [
  { name: 'overview', word: 'headline', ms: 60_000, view: (shown) => html`<${OverviewView} ...${shown} />` },
  { name: 'gaps', word: 'gapRanking', ms: 30_000, view: ({ division }) => html`<div class="wall-gaps"><${GapList} division=${division} limit=${GAPS} bare /></div>` },
  { name: 'league', word: 'wallLeague', ms: 30_000, view: ({ division }) => html`<${WallLeague} division=${division} />` },
  { name: 'load', word: 'wallLoad', ms: 30_000, needs: 'load', view: ({ counties }) => html`<${LoadView} counties=${counties} />` },
];

/** @param {Shown} shown */
function OverviewView({ counts, all, cities, counties, rows, division }) {
  const c = all && all.connectors;
  return html`<div class="wall-overview">
    <div class="wall-left"><${CountyMap} cities=${cities} counties=${counties} wall scale=${larger()} />${may(useStore(me), 'load') && html`<${Load} division=${division} scale=${larger()} />`}</div>
    <div class="wall-right">
      <div class="wall-headline"><${Ring} counts=${counts} /><div><p class="wall-percent"><${Figure} value=${counts && counts.effective}>${percent(counts?.effective, counts?.total)}<//></p>
        <p>${t('ofTownsEffective', { n: counts ? num(counts.effective) : NO_DATA, of: counts ? num(counts.total) : NO_DATA })}</p><p class="caption">${t('definition')}</p></div></div>
      <ul class="wall-figures">
        <li><b><${Figure} value=${counts && counts.paper}>${num(counts?.paper)}<//></b><span><${Mark} state="failing" /> ${t('paper')}</span></li>
        <li><b><${Figure} value=${counts && counts.none}>${num(counts?.none)}<//></b><span><${Mark} state="none" /> ${t('none')}</span></li>
        <li><b><${Figure} value=${counts && counts.nominal}>${num(counts?.nominal)}<//></b><span>${t('nominal')}</span></li>
        <li><b><${Figure} value=${c && c.fault} class=${c && c.fault ? 'fault' : ''}>${num(c?.fault)}<//></b><span>${t('faultPublic')}</span></li>
        <li><b><${Figure} value=${c && c.online}>${percent(c?.online, c?.public)}<//></b><span>${t('onlinePublic')}</span></li></ul>
      <${Units} cities=${cities} rows=${rows} scale=${larger()} />
    </div></div>`;
}

/** Today's load of one county over yesterday's. @param {{county: any}} props */
function CountyLoad({ county }) {
  const { data } = useGet('load', { division: county.division }, LOADS_EVERY);
  const box = useRef(null);
  const { width, height } = useSize(box);
  const known = data && [...data.day.power_kw, ...data.day_before.power_kw].some((v) => v !== null);
  return html`<li data-division=${county.division}><p><b><${Place} code=${county.division} name=${county.name} /></b> <span><${Figure} value=${Math.round(county.connectors.power_kw)}>${num(county.connectors.power_kw / 1000, 1)}<//><${Unit}>MW<//></span></p>
    <div class="curve" ref=${box}>${data && !known && html`<p class="empty">${t('loadNone')}</p>`}${known && width > 0 && height > 0 && html`<${Curve} today=${data.day.power_kw} before=${data.day_before.power_kw} width=${width} height=${height} scale=${larger()} />`}</div></li>`;
}

/** The counties that draw most now. @param {{counties: any[]}} props */
function LoadView({ counties }) {
  const most = [...counties].sort((a, b) => b.connectors.power_kw - a.connectors.power_kw || (a.division < b.division ? -1 : 1)).slice(0, COUNTIES);
  return html`<ul class="wall-loads">${most.map((c) => html`<${CountyLoad} key=${c.division} county=${c} />`)}</ul>`;
}

/** The province on a wall: no chrome, no pointer, one view after the other. @param {{division: string}} props */
export function Wall({ division }) {
  const who = useStore(me);
  const asked = new URLSearchParams(location.search), only = asked.get('view');
  const shown = useMemo(() => views.filter((v) => (!v.needs || may(who, v.needs)) && (!only || v.name === only)), [who, only]);
  const [at, setAt] = useState(0);
  const view = shown[at % Math.max(1, shown.length)] || views[0];
  const [{ state, heard }, now] = useStores([connection, seconds]);
  const [towns, all] = useTopics([`coverage:${division}`, `coverage:${division}:all`]);
  const cities = towns.data ? towns.data.children : nothing;
  const byCity = useTopics(useMemo(() => cities.map((/** @type {any} */ c) => 'coverage:' + c.division), [cities.length]));
  const counties = useMemo(() => byCity.flatMap((told) => told.data ? told.data.children : []), byCity);
  const { rows } = useTownships(division, 'towns', counties);
  useEffect(() => {
    setTheme(asked.get('theme') === 'light' ? 'light' : 'dark');
    document.documentElement.classList.add('wall');
    return () => document.documentElement.classList.remove('wall');
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => setAt((n) => (n + 1) % shown.length), view.ms);
    return () => clearTimeout(timer);
  }, [at, shown]);
  const stale = heard > 0 && now - heard > STALE_AFTER, old = heard > 0 && now - heard > OLD_AFTER;
  useEffect(() => { document.body.classList.toggle('stale', stale); document.body.classList.toggle('old', old); }, [stale, old]);
  const [x, y] = SHIFTS[Math.floor(now / SHIFT_EVERY) % SHIFTS.length];
  return html`<main class=${`wall-sheet shift-${x}-${y}`} data-view=${view.name}>
    <header><h1>${t('wallTitle')}</h1><p class="caption">${t('wallNote')} · ${t(view.word)}</p>
      <p class=${'live-state ' + (state === 'live' && !stale ? 'on' : 'off')}><svg viewBox="0 0 8 8" aria-hidden="true"><circle cx="4" cy="4" r="3" /></svg> <span role="status">${stale || !heard || state !== 'live' ? heard ? t('asOf', { time: clock(heard) }) : t('connecting') : t('live')}</span></p>
      <time>${dateAndClock(now)}</time></header>
    <div class="wall-view" key=${view.name}>${view.view({ counts: towns.data, all: all.data, cities, counties, rows, division })}</div>
    <footer><${EventLine} division=${division} />
      <div class="wall-bars" aria-hidden="true">${shown.map((v, i) => html`<span key=${v.name} class=${i === at % shown.length ? 'on' : ''}></span>`)}</div><p class="caption">${t('mapCreditShort')}</p></footer>
  </main>`;
}
