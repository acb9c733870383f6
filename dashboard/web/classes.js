// @ts-check
import { colour } from './store.js';

/**
 * What the map can be coloured by: part over whole, in five classes with round edges (in %).
 * @typedef {{name: import('./i18n.js').Word, legend: import('./i18n.js').Word, empty: import('./i18n.js').Word, edges: number[], ramp: string,
 *   part: (c: any) => number, whole: (c: any) => number}} Measure
 * @type {Record<string, Measure>}
 */
export const measures = {
  effective: { name: 'mapEffective', legend: 'legendEffective', empty: 'noTowns', edges: [60, 70, 80, 90], ramp: '', part: (c) => c.effective, whole: (c) => c.total },
  paper: { name: 'mapPaper', legend: 'legendPaper', empty: 'noTowns', edges: [5, 10, 20, 30], ramp: 'paper', part: (c) => c.paper, whole: (c) => c.total },
  online: { name: 'mapOnline', legend: 'legendOnline', empty: 'noConnectors', edges: [60, 70, 80, 90], ramp: 'ink2', part: (c) => c.connectors.online, whole: (c) => c.connectors.public },
  fault: { name: 'mapFault', legend: 'legendFault', empty: 'noConnectors', edges: [2, 5, 10, 20], ramp: 'fault', part: (c) => c.connectors.fault, whole: (c) => c.connectors.public },
};

/** @param {string} hex @returns {number[]} */
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/**
 * The five colours of a measure, least first; as drawn in the present theme.
 * @param {Measure} measure
 */
export function rampOf(measure) {
  if (!measure.ramp) return [1, 2, 3, 4, 5].map((i) => colour('r' + i));
  const from = rgb(colour('surface')), to = rgb(colour(measure.ramp));
  return [0.16, 0.34, 0.56, 0.78, 1].map((share) => '#' + from.map((v, i) => Math.round(v + (to[i] - v) * share).toString(16).padStart(2, '0')).join(''));
}

/**
 * 0 to 4, or null where there is nothing to take a share of.
 * @param {Measure} measure
 * @param {any} counts
 */
export function classOf(measure, counts) {
  const whole = measure.whole(counts);
  if (!whole) return null;
  const share = measure.part(counts) / whole * 100;
  return measure.edges.filter((edge) => share >= edge).length;
}
