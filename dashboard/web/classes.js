// @ts-check
import { num, percent } from './format.js';
import { colour } from './store.js';

/**
 * What the map can be coloured by: part over whole, in five classes with round edges (in %); one with
 * a unit is an amount, part, where whole is not 0.
 * @typedef {{name: import('./i18n.js').Word, legend: import('./i18n.js').Word, empty: import('./i18n.js').Word, edges: number[], ramp: string,
 *   part: (c: any) => number, whole: (c: any) => number, unit?: string}} Measure
 * @type {Record<string, Measure>}
 */
export const measures = {
  effective: { name: 'mapEffective', legend: 'legendEffective', empty: 'noTowns', edges: [60, 70, 80, 90], ramp: '', part: (c) => c.effective, whole: (c) => c.total },
  paper: { name: 'mapPaper', legend: 'legendPaper', empty: 'noTowns', edges: [5, 10, 20, 30], ramp: 'paper', part: (c) => c.paper, whole: (c) => c.total },
  availability: { name: 'mapAvailability', legend: 'legendAvailability', empty: 'noClosedDays', edges: [80, 90, 95, 98], ramp: '', part: (c) => c.served ? c.served.up_min : 0, whole: (c) => c.served ? c.served.of_min : 0 },
  online: { name: 'mapOnline', legend: 'legendOnline', empty: 'noConnectors', edges: [60, 70, 80, 90], ramp: 'ink2', part: (c) => c.connectors.online, whole: (c) => c.connectors.public },
  fault: { name: 'mapFault', legend: 'legendFault', empty: 'noConnectors', edges: [2, 5, 10, 20], ramp: 'fault', part: (c) => c.connectors.fault, whole: (c) => c.connectors.public },
  load: { name: 'mapLoad', legend: 'legendLoad', empty: 'noConnectors', edges: [0.5, 1, 2, 5], ramp: 'ink2', part: (c) => c.connectors.power_kw / 1000, whole: (c) => c.connectors.public, unit: 'MW' },
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
  const share = measure.unit ? measure.part(counts) : measure.part(counts) / whole * 100;
  return measure.edges.filter((edge) => share >= edge).length;
}

/**
 * What a measure is, in words.
 * @param {Measure} measure
 * @param {any} counts
 */
export const measured = (measure, counts) => measure.unit && measure.whole(counts) ? `${num(measure.part(counts), 1)} ${measure.unit}` : percent(measure.part(counts), measure.whole(counts));
