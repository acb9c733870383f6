// @ts-check

/** A degree of longitude over one of latitude in Shandong (36° N). */
export const ASPECT = 0.81;

/**
 * @typedef {[number, number]} Point longitude and latitude, WGS84 degrees
 * @typedef {{code: string, name: string, parent: string, polygons: Point[][][], ring: Point[], inside: Point}} Area ring is the outer one of the largest polygon
 * @typedef {{counties: Map<string, Area>, cities: Map<string, Area>, countiesJSON: any, bounds: number[]}} Maps
 */

/** @param {Point[]} ring in square degrees */
function size(ring) {
  let sum = 0;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) sum += ring[j][0] * ring[i][1] - ring[i][0] * ring[j][1];
  return Math.abs(sum / 2);
}

/**
 * Where a ring crosses a parallel, from west to east.
 * @param {Point[][]} rings
 * @param {number} lat
 */
function crossings(rings, lat) {
  /** @type {number[]} */
  const lngs = [];
  for (const ring of rings) {
    for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
      const [a, b] = [ring[j], ring[i]];
      if (a[1] > lat !== b[1] > lat) lngs.push(a[0] + (lat - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
    }
  }
  return lngs.sort((a, b) => a - b);
}

/**
 * A point well inside: the middle of the widest part on one of a few parallels near the middle.
 * @param {Point[][]} rings
 * @returns {Point}
 */
function inside(rings) {
  const lats = rings[0].map((p) => p[1]);
  const low = Math.min(...lats), high = Math.max(...lats);
  let best = /** @type {Point} */ (rings[0][0]), widest = 0;
  for (const share of [0.5, 0.42, 0.58, 0.35, 0.65]) {
    const lat = low + (high - low) * share + 1e-7; // off the corners
    const lngs = crossings(rings, lat);
    for (let i = 0; i + 1 < lngs.length; i += 2) {
      const width = (lngs[i + 1] - lngs[i]) * (1 - Math.abs(share - 0.5)); // the middle is better than a little more room
      if (width > widest) [widest, best] = [width, [(lngs[i] + lngs[i + 1]) / 2, lat]];
    }
  }
  return best;
}

/** @param {any} feature @returns {Area} */
function area({ properties, geometry }) {
  const polygons = geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
  const largest = polygons.reduce((/** @type {any} */ a, /** @type {any} */ b) => size(b[0]) > size(a[0]) ? b : a);
  return { code: properties.code, name: properties.name, parent: properties.parent_code, polygons, ring: largest[0], inside: inside(largest) };
}

/** @param {Iterable<Area>} areas @returns {number[]} west, south, east, north */
export function boundsOf(areas) {
  const b = [Infinity, Infinity, -Infinity, -Infinity];
  for (const one of areas) {
    for (const [lng, lat] of one.polygons.flatMap((p) => p[0])) {
      b[0] = Math.min(b[0], lng);
      b[1] = Math.min(b[1], lat);
      b[2] = Math.max(b[2], lng);
      b[3] = Math.max(b[3], lat);
    }
  }
  return b;
}

/** @type {Promise<Maps> | null} */
let maps = null;

/** The outlines, fetched once. */
export function loadMaps() {
  const fetched = async (/** @type {string} */ name) => {
    const answer = await fetch('maps/' + name);
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    return answer.json();
  };
  maps ||= Promise.all([fetched('shandong-counties.geojson'), fetched('shandong-cities.geojson')]).then(([countiesJSON, citiesJSON]) => {
    const byCode = (/** @type {any} */ json) => new Map(json.features.map(area).map((/** @type {Area} */ a) => [a.code, a]));
    const counties = byCode(countiesJSON);
    return { counties, cities: byCode(citiesJSON), countiesJSON, bounds: boundsOf(counties.values()) };
  }).catch((err) => {
    maps = null;
    throw err;
  });
  return maps;
}

/** @param {number} i @param {number} base */
function halton(i, base) {
  let share = 1, sum = 0;
  for (; i > 0; i = Math.floor(i / base)) sum += (share /= base) * (i % base);
  return sum;
}

/**
 * So many places inside an area, apart from each other and from the border; always the same ones
 * for an area. They stand for places whose position is not known.
 * @param {Area} where
 * @param {number} n
 * @returns {Point[]}
 */
export function schematicPoints(where, n) {
  const [west, south, east, north] = boundsOf([where]);
  const margin = (north - south) / 25;
  /** @type {Point[]} */
  const points = [];
  const covered = (/** @type {Point} */ [lng, lat]) => crossings([where.ring], lat).filter((x) => x < lng).length % 2 === 1;
  for (let i = Number(where.code) % 997; points.length < n && i < 100_000; i++) {
    const p = /** @type {Point} */ ([west + (east - west) * halton(i, 2), south + (north - south) * halton(i, 3)]);
    const around = [[0, 0], [margin, 0], [-margin, 0], [0, margin], [0, -margin]];
    if (around.every(([x, y]) => covered([p[0] + x / ASPECT, p[1] + y]))) points.push(p);
  }
  return points;
}
