// @ts-check
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from './vendor/htm/standalone.mjs';
import { classOf, measured, measures, rampOf } from './classes.js';
import { Failed, Segments, useSize } from './figure.js';
import { NO_DATA, num } from './format.js';
import { ASPECT, loadMaps } from './geo.js';
import { lang, Place, shortPlaceName, t, zoneName } from './i18n.js';
import { Mark, STATES } from './marks.js';
import { Problem, useGet } from './api.js';
import { divisionHref, go, route, setQuery } from './route.js';
import { colour, theme, useStores } from './store.js';

/** @typedef {import('./geo.js').Maps} Maps */

const ZOOMS = [1, 2, 4];
const NAMES_FROM = 2; // county names, by zoom
const PAST_EVERY = 10 * 60_000; // a day closes once a day

/** @param {import('./geo.js').Area} area @returns {any[]} */
const outlines = (area) => area.polygons.map(([ring]) => ({ coords: ring }));

/**
 * The chart's option: counties in their classes, borders of cities, names, and the selection in a
 * layer of its own, since a neighbour would cover a border drawn with its county.
 * @param {{maps: Maps, counts: Map<string, any>, measure: import('./classes.js').Measure, over: string, size: {width: number, height: number}, zoom: number, cities: any[], scale: number}} of
 */
function optionOf({ maps, counts, measure, over, size, zoom, cities, scale }) {
  const ramp = rampOf(measure), ground = colour('surface'), ink = colour('ink');
  const [west, south, east, north] = maps.bounds;
  const aspect = (east - west) * ASPECT / (north - south);
  const regions = [...maps.counties.keys()].map((code) => {
    const found = counts.get(code), step = found ? classOf(measure, found) : null;
    return { name: code, itemStyle: step === null ? { areaColor: colour('page'), borderColor: colour('line2') } : { areaColor: ramp[step] } };
  });
  const selected = maps.counties.get(over);
  const label = (/** @type {boolean} */ strong) => ({
    show: true, formatter: '{b}', color: strong ? ink : colour('ink2'), fontSize: (strong ? 12 : 11) * scale, fontFamily: getComputedStyle(document.body).fontFamily,
    textBorderColor: ground, textBorderWidth: 2.5 * scale,
  });
  const names = cities.flatMap((c) => {
    const area = maps.cities.get(c.division);
    return area ? [{ name: shortPlaceName(c.division, c.name), value: area.inside }] : [];
  });
  return {
    animation: false,
    geo: {
      map: 'counties', nameProperty: 'code', roam: zoom > 1 ? 'move' : false, zoom, aspectScale: ASPECT, layoutCenter: ['50%', '50%'],
      layoutSize: Math.min(size.width - 6, (size.height - 6) * aspect), selectedMode: false, emphasis: { disabled: true },
      itemStyle: { borderColor: ground, borderWidth: 0.5 * scale }, regions,
    },
    series: [
      { type: 'lines', id: 'cities', coordinateSystem: 'geo', polyline: true, silent: true, z: 3, lineStyle: { color: ground, width: 1.8 * scale, opacity: 1 }, data: [...maps.cities.values()].flatMap(outlines) },
      { type: 'lines', id: 'over', coordinateSystem: 'geo', polyline: true, silent: true, z: 4, lineStyle: { color: ink, width: 2.2, opacity: 1 }, data: selected ? outlines(selected) : [] },
      { type: 'scatter', id: 'counties', coordinateSystem: 'geo', silent: true, z: 5, symbolSize: 0.1, label: label(false), labelLayout: { hideOverlap: true },
        data: zoom >= NAMES_FROM ? [...maps.counties.values()].map((a) => ({ name: a.name, value: a.inside })) : [] },
      { type: 'scatter', id: 'names', coordinateSystem: 'geo', silent: true, z: 6, symbolSize: 0.1, label: label(true), data: zoom >= NAMES_FROM ? [] : names },
    ],
  };
}

/**
 * The province's counties in classes, with a fixed readout and, the keyboard's way, the same rows as a table.
 * @param {{cities: any[], counties: any[], wall?: boolean, scale?: number}} props counts of cities, counties and zones
 */
export function CountyMap({ cities, counties: told, wall = false, scale = 1 }) {
  const { data: past } = useGet('coverage/availability', {}, PAST_EVERY);
  const served = past && past.whole;
  const counties = useMemo(() => {
    if (!past) return told;
    const by = new Map(past.counties.map((/** @type {any} */ c) => [c.division, c]));
    return told.map((c) => ({ ...c, served: by.get(c.division) }));
  }, [told, past]);
  const [{ query }] = useStores([route, lang, theme]);
  const name = Object.hasOwn(measures, query.map || '') ? query.map : 'effective';
  const measure = measures[name];
  const [over, setOver] = useState('');
  const [zoom, setZoom] = useState(1);
  const box = useRef(/** @type {any} */ (null)), chart = useRef(/** @type {any} */ (null));
  const [drawing, setDrawing] = useState(/** @type {{maps: Maps | null, error: Problem | null, turn: number}} */ ({ maps: null, error: null, turn: 0 }));
  const size = useSize(box);
  const counts = useMemo(() => new Map(counties.map((c) => [c.division, c])), [counties]);
  const asTable = query.as === 'table';

  useEffect(() => {
    let gone = false;
    Promise.all([import('./vendor/echarts/echarts.esm.min.mjs'), loadMaps()]).then(([echarts, maps]) => {
      if (gone) return;
      echarts.registerMap('counties', maps.countiesJSON);
      const drawn = echarts.init(box.current, null, { renderer: 'canvas' });
      chart.current = drawn;
      drawn.on('mouseover', 'geo', (/** @type {any} */ e) => setOver(e.name));
      drawn.on('globalout', () => setOver(''));
      drawn.on('click', 'geo', (/** @type {any} */ e) => go(divisionHref(e.name)));
      Object.assign(window, { pilewatch: { mapPoint: (/** @type {string} */ code) => mapPoint(drawn, box.current, maps, code) } });
      setDrawing((d) => ({ ...d, maps, error: null }));
    }).catch((err) => setDrawing((d) => ({ ...d, error: new Problem(1, err.message) })));
    return () => {
      gone = true;
      if (chart.current) chart.current.dispose();
      chart.current = null;
    };
  }, [drawing.turn]);

  const { maps } = drawing;
  const shown = maps && counties.map((c) => c.division + classOf(measure, c)).join();
  useLayoutEffect(() => {
    if (!maps || !size.width || asTable) return;
    chart.current.resize({ width: size.width, height: size.height });
    chart.current.setOption(optionOf({ maps, counts, measure, over, size, zoom, cities, scale }), { replaceMerge: ['series'] });
  }, [maps, shown, name, over, size.width, size.height, zoom, lang.value, theme.value, asTable, cities.length, scale]);

  const zones = counties.filter((c) => c.kind === 'zone');
  const choices = Object.entries(measures).map(([value, m]) => ({ value, name: t(m.name) }));
  return html`<section class="panel counties" aria-labelledby="map-title">
    ${wall ? html`<h2 id="map-title" class="unseen">${t('counties')}</h2>` : html`<header><h2 id="map-title">${t('counties')}</h2>
      <${Segments} label=${t('mapOf')} value=${name} choices=${choices} onChoose=${(/** @type {string} */ v) => setQuery({ map: v === 'effective' ? '' : v })} />
      <${Segments} label=${t('asTable')} value=${asTable ? 'table' : 'map'} choices=${[{ value: 'map', name: t('asMap') }, { value: 'table', name: t('asTable') }]}
        onChoose=${(/** @type {string} */ v) => setQuery({ as: v === 'table' ? v : '' })} /></header>`}
    ${drawing.error && html`<${Failed} error=${drawing.error} retry=${() => setDrawing((d) => ({ ...d, error: null, turn: d.turn + 1 }))} />`}
    <div class="map" hidden=${asTable}>
      <div class="canvas" ref=${box} role="img" aria-label=${t('mapSaid', { what: t(measure.name) })}></div>
      ${!wall && html`<div class="zoom">${ZOOMS.length > 1 && html`
        <button type="button" aria-label=${t('zoomIn')} disabled=${zoom === ZOOMS[ZOOMS.length - 1]} onClick=${() => setZoom(ZOOMS[ZOOMS.indexOf(zoom) + 1])}>+</button>
        <button type="button" aria-label=${t('zoomOut')} disabled=${zoom === ZOOMS[0]} onClick=${() => setZoom(ZOOMS[ZOOMS.indexOf(zoom) - 1])}>−</button>`}</div>`}
      ${!wall && html`<${Readout} measure=${measure} county=${counts.get(over)} cities=${cities} served=${served} />`}
      <${Legend} measure=${measure} />
    </div>
    ${asTable && html`<${CountyTable} counties=${counties} cities=${cities} measure=${measure} />`}
    ${!asTable && !wall && html`<p class="zones"><span>${t('zones')}</span>
      ${zones.filter((z) => measure.whole(z)).map((z) => html`<a key=${z.division} data-division=${z.division} href=${divisionHref(z.division.slice(0, 4))}>
        <${Chip} measure=${measure} counts=${z} /> <${Place} code=${z.division} name=${zoneName(z.name)} /></a>`)}
      <span>${t('zonesRest', { n: zones.filter((z) => !measure.whole(z)).length })}</span></p>`}
    ${!wall && html`<p class="credit">${t('mapCredit')}</p>`}
  </section>`;
}

/**
 * Where a county is on the page, in CSS pixels.
 * @param {any} chart @param {Element} box @param {Maps} maps @param {string} code
 */
function mapPoint(chart, box, maps, code) {
  const county = maps.counties.get(code);
  if (!county) return null;
  const [x, y] = chart.convertToPixel('geo', county.inside);
  const at = box.getBoundingClientRect();
  return { x: at.left + x, y: at.top + y };
}

/** @param {{measure: import('./classes.js').Measure, counts: any}} props */
function Chip({ measure, counts }) {
  const step = classOf(measure, counts);
  return html`<svg class="chip" viewBox="0 0 10 10" aria-hidden="true"><rect width="10" height="10" fill=${step === null ? 'none' : rampOf(measure)[step]} /></svg>`;
}

/** @param {{measure: import('./classes.js').Measure, county: any, cities: any[], served: any}} props served: the province's availability */
function Readout({ measure, county, cities, served }) {
  const city = county && cities.find((c) => c.division === county.division.slice(0, 4));
  const province = { division: '37', name: t('province'), ...totals(cities), served };
  const shown = county || province, whole = measure.whole(shown);
  return html`<div class="readout">
    <p class="caption">${city ? html`<${Place} code=${city.division} name=${city.name} />` : ' '}</p>
    <p class="name"><${Place} code=${shown.division === '37' ? '' : shown.division} name=${shown.name} /></p>
    <p class="value live">${whole ? measured(measure, shown) : cities.length ? t(measure.empty) : NO_DATA}</p>
    <p class="counts live">${STATES.filter((s) => shown[s]).map((s) => html`<span key=${s}><${Mark} state=${s} /> ${num(shown[s])}</span>`)}</p>
  </div>`;
}

/** @param {any[]} rows */
function totals(rows) {
  const sum = (/** @type {(r: any) => number} */ of) => rows.reduce((n, r) => n + of(r), 0);
  return {
    ...Object.fromEntries(['total', ...STATES].map((key) => [key, sum((r) => r[key])])), paper: sum((r) => r.paper), connectors: { public: sum((r) => r.connectors.public), online: sum((r) => r.connectors.online), fault: sum((r) => r.connectors.fault), power_kw: sum((r) => r.connectors.power_kw) },
  };
}

/** @param {{measure: import('./classes.js').Measure}} props */
function Legend({ measure }) {
  const [first, ...rest] = measure.edges;
  return html`<div class="map-legend">
    <p class="caption">${t(measure.legend)}</p>
    <svg viewBox="0 0 5 1" preserveAspectRatio="none" aria-hidden="true">${rampOf(measure).map((fill, i) => html`<rect x=${i} width="1" height="1" fill=${fill} />`)}</svg>
    <p class="edges"><span>${'<' + first}</span><span>${first}</span>${rest.map((edge, i) => html`<span key=${edge}>${edge}${i === rest.length - 1 && '+'}</span>`)}</p>
    <p class="edges"><span class="without"></span> ${t(measure.empty)}</p>
  </div>`;
}

/** @param {{counties: any[], cities: any[], measure: import('./classes.js').Measure}} props */
export function CountyTable({ counties, cities, measure }) {
  return html`<div class="county-table"><table class="rows">
    <thead><tr><th scope="col">${t('county')}</th><th scope="col">${t('city')}</th><th scope="col" class="n">${t(measure.name)} ${measure.unit || '%'}</th><th scope="col" class="n">${t('effective')}</th><th scope="col" class="n">${t('towns')}</th></tr></thead>
    <tbody>${counties.map((c) => {
      const city = cities.find((one) => one.division === c.division.slice(0, 4));
      return html`<tr key=${c.division} data-division=${c.division}>
        <th scope="row"><${Chip} measure=${measure} counts=${c} /> <a href=${divisionHref(c.division)}><${Place} code=${c.division} name=${c.name} /></a></th>
        <td><${Place} code=${city.division} name=${city.name} /></td>
        <td class="n live">${measured(measure, c)}</td><td class="n live">${c.total ? num(c.effective) : '–'}</td><td class="n">${c.total ? num(c.total) : '–'}</td>
      </tr>`;
    })}</tbody></table></div>`;
}
