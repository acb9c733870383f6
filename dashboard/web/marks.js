// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { num, percent } from './format.js';
import { t } from './i18n.js';

/** The five states in the order in which they are shown everywhere. */
export const STATES = /** @type {const} */ (['effective', 'starting', 'failing', 'unverified', 'none']);

/** @typedef {typeof STATES[number]} State */

/**
 * The shape of a state in a box of w by h: full, half, quarter, a base line. It reads without colour.
 * @param {{state: State, x?: number, y?: number, w: number, h: number}} props
 */
export function Shape({ state, x = 0, y = 0, w, h, ...rest }) {
  const line = Math.max(1, h / 9);
  switch (state) {
    case 'effective': return html`<rect class="eff" x=${x} y=${y} width=${w} height=${h} ...${rest} />`;
    case 'failing': return html`<rect class="paper" x=${x} y=${y + h / 2} width=${w} height=${h / 2} ...${rest} />`;
    case 'unverified': return html`<rect class="paper-o" x=${x + line / 2} y=${y + h / 2 + line / 2} width=${w - line} height=${h / 2 - line} stroke-width=${line} ...${rest} />`;
    case 'starting': return html`<rect class="eff" x=${x} y=${y + h * 0.75} width=${w} height=${h / 4} ...${rest} />`;
    default: return html`<rect class="none" x=${x} y=${y + h - line} width=${w} height=${line} ...${rest} />`;
  }
}

/**
 * The mark of a township's state.
 * @param {{state: State, notObserved?: boolean}} props
 */
export const Mark = ({ state, notObserved = false }) => html`
  <svg class="mark" viewBox="0 0 10 10" aria-hidden="true">
    <${Shape} state=${state} w=${10} h=${10} />
    ${notObserved && html`<circle class="dot" cx="5" cy="-2" r="1.5" />`}
  </svg>`;

/**
 * The mark of a connector's status or of an event.
 * @param {{kind: string}} props usable, fault, offline, silent
 */
export const Square = ({ kind }) => html`
  <svg class="mark" viewBox="0 0 10 10" aria-hidden="true"><rect class=${'sq-' + kind} x=".5" y=".5" width="9" height="9" />
    ${kind === 'silent' && html`<path class="sq-dots" d="M3 3h0M7 3h0M5 5h0M3 7h0M7 7h0" />`}</svg>`;

/**
 * What a connector is, silent and never heard included.
 * @param {{status: string, silent: boolean}} c
 */
export function statusOf(c) {
  if (!c.status) return 'unseen';
  return c.silent ? 'silent' : c.status;
}

/** @param {string} status of statusOf */
export function squareOf(status) {
  if (status === 'fault' || status === 'offline') return status;
  return status === 'silent' || status === 'unseen' ? 'silent' : 'usable';
}

/**
 * The marks of many towns in two rows, column by column, with a gap each 10 columns.
 * @param {{towns: {division: string, state: State, not_observed?: boolean, changed?: number}[], pitch: number, height: number}} props
 */
export function MarkStrip({ towns, pitch, height }) {
  const gap = Math.max(1, pitch / 2.5);
  const row = height + Math.max(2, Math.round(height / 5));
  const x = (/** @type {number} */ i) => Math.floor(i / 2) * pitch + Math.floor(i / 20) * gap;
  const mark = pitch - Math.max(0.5, Math.min(1, pitch / 4));
  const width = towns.length ? x(towns.length - 1) + pitch : 0;
  return html`<svg class="strip" width=${width} height=${row * 2} viewBox=${`0 0 ${width} ${row * 2}`} aria-hidden="true">
    ${towns.map((town, i) => html`<g key=${town.division} data-division=${town.division} data-state=${town.state}>
      <rect class="hit" x=${x(i)} y=${(i % 2) * row} width=${pitch} height=${row} />
      <${Shape} state=${town.state} x=${x(i)} y=${(i % 2) * row + row - height} w=${mark} h=${height} />
      ${town.not_observed && html`<circle class="dot" cx=${x(i) + mark / 2} cy=${(i % 2) * row + 1} r="1" />`}
      ${town.changed && html`<rect key=${town.changed} class="just" x=${x(i) - 1} y=${(i % 2) * row + row - height - 1} width=${mark + 2} height=${height + 2} />`}
    </g>`)}
  </svg>`;
}

const RING = { size: 112, base: 38, full: 15 };
const thickness = { effective: RING.full, failing: RING.full / 2, unverified: RING.full / 2, starting: RING.full / 4, none: 1.5 };

/** @param {number} r @param {number} a as a share of the round, from the top */
const at = (r, a) => `${(RING.size / 2 + r * Math.sin(a * 2 * Math.PI)).toFixed(2)} ${(RING.size / 2 - r * Math.cos(a * 2 * Math.PI)).toFixed(2)}`;

/**
 * A piece of the ring, from the base circle outwards.
 * @param {number} from @param {number} to @param {number} thick
 */
function piece(from, to, thick) {
  const outer = RING.base + thick, end = Math.min(to, from + 0.99999), long = end - from > 0.5 ? 1 : 0;
  return `M${at(RING.base, from)}L${at(outer, from)}A${outer} ${outer} 0 ${long} 1 ${at(outer, end)}L${at(RING.base, end)}A${RING.base} ${RING.base} 0 ${long} 0 ${at(RING.base, from)}Z`;
}

/**
 * The summary of all marks: each state's arc has the state's height.
 * @param {{counts: any}} props
 */
export function Ring({ counts }) {
  let from = 0;
  const arcs = counts ? STATES.filter((s) => counts[s] > 0).map((state) => {
    const share = counts[state] / counts.total, start = from;
    from += share;
    const space = Math.min(share / 3, 0.003);
    return html`<path class=${{ effective: 'eff', starting: 'eff', failing: 'paper', unverified: 'paper-o', none: 'none' }[state]}
      d=${piece(start, start + share - space, thickness[state])} stroke-width="1.4" />`;
  }) : html`<circle class="none-o" cx=${RING.size / 2} cy=${RING.size / 2} r=${RING.base} />`;
  return html`<svg class="ring" viewBox=${`0 0 ${RING.size} ${RING.size}`} role="img" aria-label=${counts ? ringText(counts) : t('reading')}>${arcs}</svg>`;
}

/** @param {any} counts */
const ringText = (counts) => t('headlineSaid', { percent: percent(counts.effective, counts.total), n: num(counts.effective), of: num(counts.total) }) + ': '
  + t('ringSaid', { effective: num(counts.effective), starting: num(counts.starting), failing: num(counts.failing), unverified: num(counts.unverified), none: num(counts.none), total: num(counts.total) });
