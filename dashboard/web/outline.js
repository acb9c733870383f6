// @ts-check
import { html, useEffect, useMemo, useState } from './vendor/htm/standalone.mjs';
import { classOf, measures, rampOf } from './classes.js';
import { percent } from './format.js';
import { ASPECT, boundsOf, loadMaps, schematicPoints } from './geo.js';
import { Place, placeName, t } from './i18n.js';
import { divisionHref } from './route.js';
import { theme, useStore } from './store.js';

/** @typedef {import('./geo.js').Area} Area */
/** @typedef {import('./geo.js').Point} Point */
/** @typedef {{division: string, name: string, state: import('./marks.js').State}} Town */

const WIDTH = 320;
const TALLEST = 260;
const LABELS = 8; // of towns; more would cover each other
const URGENT = ['failing', 'unverified', 'none', 'starting', 'effective']; // whose names come first

/**
 * How longitude and latitude lie in the drawing.
 * @param {Area[]} areas
 */
function projection(areas) {
  const [west, south, east, north] = boundsOf(areas);
  const scale = Math.min((WIDTH - 16) / ((east - west) * ASPECT), (TALLEST - 16) / (north - south));
  const place = (/** @type {Point} */ [lng, lat]) => [8 + (lng - west) * ASPECT * scale, 8 + (north - lat) * scale];
  const path = (/** @type {Area} */ area) => area.polygons.map(([ring]) => 'M' + ring.map((p) => place(p).map((v) => v.toFixed(1)).join(' ')).join('L') + 'Z').join('');
  return { place, path, width: 16 + (east - west) * ASPECT * scale, height: 16 + (north - south) * scale };
}

/**
 * A small map: the children of the province or a city in their classes, or a county with its towns
 * at schematic places.
 * @param {{code: string, children: any[], towns: Town[], selected?: string, point?: Point | null}} props point: where something really stands
 */
export function Outline({ code, children, towns, selected = '', point = null }) {
  const [maps, setMaps] = useState(/** @type {import('./geo.js').Maps | null} */ (null));
  useEffect(() => {
    let gone = false;
    loadMaps().then((m) => { if (!gone) setMaps(m); }, () => {}); // the table beside it says the same
    return () => { gone = true; };
  }, []);
  if (!maps) return null;
  if (code.length === 6) {
    const county = maps.counties.get(code);
    return county ? html`<${CountyOutline} county=${county} towns=${towns} selected=${selected} point=${point} />` : null;
  }
  const areas = code.length === 2 ? [...maps.cities.values()] : [...maps.counties.values()].filter((a) => a.parent === code);
  return html`<${ChildrenOutline} areas=${areas} children=${children} />`;
}

/** @param {{areas: Area[], children: any[]}} props */
function ChildrenOutline({ areas, children }) {
  useStore(theme);
  const { place, path, width, height } = useMemo(() => projection(areas), [areas[0].code]);
  const counts = new Map(children.map((c) => [c.division, c]));
  const ramp = rampOf(measures.effective);
  return html`<section aria-labelledby="outline-title"><header><h2 id="outline-title">${t('location')}</h2><p>${t('legendEffective')}</p></header>
    <svg class="outline" viewBox=${`0 0 ${width} ${height}`}>
      ${areas.map((area) => {
        const c = counts.get(area.code), step = c ? classOf(measures.effective, c) : null;
        const name = placeName(area.code, area.name);
        return html`<a key=${area.code} href=${divisionHref(area.code)} aria-label=${`${name} ${percent(c?.effective, c?.total)}`}>
          <path d=${path(area)} class=${step === null ? 'without' : ''} fill=${step === null ? undefined : ramp[step]} /></a>`;
      })}
      ${labels(areas.map((area) => ({ text: shortName(placeName(area.code, area.name)), at: place(area.inside) }))).map(({ text, at: [x, y] }) => html`<text key=${text} x=${x} y=${y} aria-hidden="true">${text}</text>`)}
    </svg></section>`;
}

/** About how wide a label is drawn. @param {string} text */
const widthOf = (text) => [...text].reduce((w, c) => w + (c > '\u2e80' ? 10 : 5.5), 0);

/**
 * Those labels that do not cover one before them.
 * @param {{text: string, at: number[]}[]} wanted
 */
function labels(wanted) {
  /** @type {typeof wanted} */
  const kept = [];
  for (const one of wanted) {
    if (kept.every(({ text, at }) => Math.abs(at[1] - one.at[1]) > 11 || Math.abs(at[0] - one.at[0]) > (widthOf(text) + widthOf(one.text)) / 2)) kept.push(one);
  }
  return kept;
}

/** 曹县 stays, 牡丹区 is 牡丹. @param {string} name */
const shortName = (name) => name.length > 2 ? name.replace(/[市县区]$/, '') : name;

/** @param {{county: Area, towns: Town[], selected: string, point: Point | null}} props */
function CountyOutline({ county, towns, selected, point }) {
  const { place, path, width, height } = useMemo(() => projection([county]), [county]);
  const byCode = [...towns].sort((a, b) => a.division < b.division ? -1 : 1);
  const points = useMemo(() => schematicPoints(county, byCode.length), [county, byCode.length]);
  const placed = byCode.slice(0, points.length).map((town, i) => ({ town, at: place(points[i]), text: placeName(town.division, town.name) }));
  const named = placed.filter(({ town }) => town.division === selected || (!selected && town.state !== 'effective'))
    .sort((a, b) => URGENT.indexOf(a.town.state) - URGENT.indexOf(b.town.state)).slice(0, LABELS).map(({ town, at: [x, y], text }) => {
    const left = x > width * 0.7, half = widthOf(text) / 2 + (selected ? 12 : 8);
    return { text, at: [left ? x - half : x + half, y + 4], town };
  });
  return html`<section aria-labelledby="outline-title"><header><h2 id="outline-title">${t('location')}</h2>${point ? html`<p>${t('realPoint')} · <${Place} code=${county.code} name=${county.name} /></p>` : placed.length > 0 && html`<p>${t('schematic')}</p>`}</header>
    <svg class="outline" viewBox=${`0 0 ${width} ${height}`}>
      <path d=${path(county)} class="without" />
      ${placed.map(({ town, at: [x, y], text }) => html`<a key=${town.division} href=${divisionHref(town.division)} aria-label=${`${text} ${t(town.state)}`} data-state=${town.state}>
        <${Point} state=${town.state} x=${x - 5} y=${y - 5} />
        ${town.division === selected && html`<rect class="selected" x=${x - 8} y=${y - 8} width="16" height="16" />`}</a>`)}
      ${point && html`<circle class="stands" cx=${place(point)[0]} cy=${place(point)[1]} r="5" />`}
      ${labels(named).map(({ text, at: [x, y] }) => html`<text key=${text} x=${x} y=${y} aria-hidden="true">${text}</text>`)}
    </svg></section>`;
}

/** A town on the map: filled, half-filled, hollow. @param {{state: string, x: number, y: number}} props */
function Point({ state, x, y }) {
  const frame = html`<rect class=${'point ' + state} x=${x + 0.75} y=${y + 0.75} width="8.5" height="8.5" />`;
  if (state === 'effective') return html`<rect class="eff" x=${x} y=${y} width="10" height="10" />`;
  if (state === 'failing') return html`${frame}<rect class="paper" x=${x} y=${y + 5} width="10" height="5" />`;
  if (state === 'unverified') return html`${frame}<rect class="paper-o" x=${x + 0.75} y=${y + 5} width="8.5" height="4.25" stroke-width="1.5" />`;
  if (state === 'starting') return html`${frame}<rect class="eff" x=${x} y=${y + 7.5} width="10" height="2.5" />`;
  return frame;
}
