// @ts-check
import { html, useRef } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { Failed, Reading, useSize } from './figure.js';
import { num } from './format.js';
import { t } from './i18n.js';

const REFRESH = 60_000;
const POINTS = 96;
const LEFT = 40, RIGHT = 76, TOP = 20, BOTTOM = 22;
const NARROW = 360; // px; below it every sixth hour is named, not every fourth
const SMALL = 300; // px; below it every twelfth, and yesterday is the dashed line without its name

/** @typedef {(number | null)[]} Points kW, one a quarter of an hour; null is not known */

/**
 * The least round step of which at most five reach most.
 * @param {number} most
 */
function stepOf(most) {
  const raw = Math.max(most, 1) / 5, size = 10 ** Math.floor(Math.log10(raw));
  return size * /** @type {number} */ ([1, 2, 5, 10].find((n) => n * size >= raw));
}

/**
 * A line through the points that are known; a gap is a gap.
 * @param {Points} points @param {(i: number) => number} x @param {(v: number) => number} y
 */
function lineOf(points, x, y) {
  let path = '', drawing = false;
  points.forEach((v, i) => {
    if (v !== null) path += `${drawing ? 'L' : 'M'}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    drawing = v !== null;
  });
  return path;
}

/** @param {Points} points */
const lastOf = (points) => points.findLastIndex((v) => v !== null);

/**
 * @param {{today: Points, before: Points, width: number, height: number, scale?: number}} props in px; scale: larger for a wall
 */
export function Curve({ today, before, width: wide, height: high, scale: larger = 1 }) {
  const width = wide / larger, height = high / larger, small = width < SMALL, right = small ? 12 : RIGHT;
  const most = Math.max(...today.map((v) => v ?? 0), ...before.map((v) => v ?? 0));
  const mega = most >= 1000, scale = mega ? 1000 : 1, unit = mega ? 'MW' : 'kW';
  const step = stepOf(most / scale), top = Math.max(step, Math.ceil(most / scale / step) * step);
  const decimals = step < 1 ? Math.ceil(-Math.log10(step)) : 0;
  const x = (/** @type {number} */ i) => LEFT + i / POINTS * (width - LEFT - right);
  const y = (/** @type {number} */ v) => TOP + (1 - v / scale / top) * (height - TOP - BOTTOM);
  const rules = Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step);
  const hours = small ? 12 : width < NARROW ? 6 : 4;
  const now = lastOf(today), then = lastOf(before);
  const figure = (/** @type {number} */ v) => num(v / scale, mega ? 1 : 0);
  const said = now < 0 ? t('loadNone') : t('loadSaid', { now: `${figure(/** @type {number} */ (today[now]))} ${unit}` });
  const close = now >= 0 && then >= 0 && Math.abs(y(/** @type {number} */ (before[then])) - y(/** @type {number} */ (today[now]))) < 14 && x(then) - x(now) < 70;
  return html`<svg width=${wide} height=${high} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${said}>
    ${rules.map((v) => html`<g key=${v}><line class=${v ? 'rule' : 'base'} x1=${LEFT} x2=${width - right} y1=${y(v * scale)} y2=${y(v * scale)} /><text x=${LEFT - 8} y=${y(v * scale) + 4} text-anchor="end">${num(v, decimals)}</text></g>`)}
    ${Array.from({ length: 24 / hours }, (_, i) => i * hours).map((h) => html`<text key=${h} x=${x(h * 4)} y=${height - 4} text-anchor=${h ? 'middle' : 'start'}>${String(h).padStart(2, '0')}:00</text>`)}
    <path class="before" d=${lineOf(before, x, y)} />
    ${then >= 0 && !close && !small && html`<text class="before-name" x=${x(then) + 6} y=${y(/** @type {number} */ (before[then])) + 4}>${t('yesterday')}</text>`}
    <path class="today" d=${lineOf(today, x, y)} />
    ${now >= 0 && html`<circle class="now" cx=${x(now)} cy=${y(/** @type {number} */ (today[now]))} r="3.5" />
      <text class="now-name" text-anchor=${small && now > POINTS / 2 ? 'end' : 'start'} x=${x(now) + (small && now > POINTS / 2 ? -8 : 8)} y=${y(/** @type {number} */ (today[now])) - 6}>${t('todayIs', { n: figure(/** @type {number} */ (today[now])) })} ${unit}</text>`}
  </svg>`;
}

/** Today's load over yesterday's. @param {{division: string, scale?: number}} props */
export function Load({ division, scale = 1 }) {
  const { data, error, retry } = useGet('load', { division }, REFRESH);
  const box = useRef(null);
  const { width, height } = useSize(box);
  const known = data && (lastOf(data.day.power_kw) >= 0 || lastOf(data.day_before.power_kw) >= 0);
  return html`<section class="panel load" aria-labelledby="load-title">
    <header><h2 id="load-title">${t('loadToday')}</h2><p>${t('loadNote')}</p></header>
    ${error ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !known && html`<p class="empty">${t('loadNone')}</p>`}
    <div class="curve" ref=${box}>${known && width > 0 && height > 0 && html`<${Curve} today=${data.day.power_kw} before=${data.day_before.power_kw} width=${width} height=${height} scale=${scale} />`}</div>
  </section>`;
}
