// @ts-check
import { html, useState } from './vendor/htm/standalone.mjs';
import { num } from './format.js';
import { t } from './i18n.js';

/**
 * One day of a pile in minutes, as the API gives them. fault_min is a part of out_min.
 * @typedef {{date: string, usable_min: number, excused_min: number, out_min: number, fault_min: number, unknown_min: number}} StripDay
 */

const COLUMN = 10, HIGH = 96, DAY = 1440;

/** What a day is made of, from the floor up. @type {{key: string, word: import('./i18n.js').Word, of: (d: StripDay) => number}[]} */
const parts = [
  { key: 'usable', word: 'stripUsable', of: (d) => d.usable_min },
  { key: 'excused', word: 'stripExcused', of: (d) => d.excused_min },
  { key: 'unknown', word: 'stripUnknown', of: (d) => d.unknown_min },
  { key: 'offline', word: 'stripOffline', of: (d) => d.out_min - d.fault_min },
  { key: 'fault', word: 'stripFault', of: (d) => d.fault_min },
];

/** The days from first to last, those without a row as null. @param {StripDay[]} days @param {number} n */
function columns(days, n) {
  if (!days.length) return [];
  const by = new Map(days.map((d) => [d.date, d]));
  const last = Date.parse(days[days.length - 1].date);
  return Array.from({ length: n }, (_, i) => {
    const date = new Date(last - (n - 1 - i) * 86400e3).toISOString().slice(0, 10);
    return { date, day: by.get(date) };
  });
}

/** What lies between two dates, as a track: breaks where no day is. */
/** @param {{date: string}[]} cols @param {{from: string, until: string}[]} spans */
const tracks = (cols, spans) => spans.map(({ from, until }) => {
  const a = cols.findIndex((c) => c.date >= from), b = cols.findLastIndex((c) => c.date < until);
  return a < 0 || b < a ? null : { x: a * COLUMN, width: (b - a + 1) * COLUMN - 1 };
}).filter((s) => s !== null);

/**
 * Flags by the column that they stand before; what came after the last day stands behind it.
 * @param {{date: string}[]} cols @param {{date: string, text: string}[]} flags
 */
function placed(cols, flags) {
  /** @type {Map<number, string>} */
  const at = new Map();
  for (const f of flags) {
    const found = cols.findIndex((c) => c.date >= f.date), i = found < 0 ? cols.length : found;
    at.set(i, at.has(i) ? `${at.get(i)} · ${f.text}` : f.text);
  }
  return [...at].map(([i, text]) => ({ i, text }));
}

/**
 * Days side by side, each with its minutes stacked. Left and right read one day; a table is behind it.
 * @param {{days: StripDay[], count?: number, flags?: {date: string, text: string}[], clocks?: {name: string, kind: string, spans: {from: string, until: string}[]}[], label: string}} props
 */
export function Strip({ days, count = 90, flags = [], clocks = [], label }) {
  const cols = columns(days, count);
  const [at, setAt] = useState(-1);
  if (!cols.length) return html`<p class="empty">${t('stripNone')}</p>`;
  const chosen = cols[at < 0 ? cols.length - 1 : Math.min(at, cols.length - 1)];
  const says = (/** @type {StripDay | undefined} */ d) => d ? parts.filter((p) => p.of(d) > 0).map((p) => `${t(p.word)} ${num(p.of(d))}`).join(' · ') : t('stripNoService');
  const step = (/** @type {any} */ e) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[/** @type {string} */ (e.key)];
    if (!move) return;
    e.preventDefault();
    setAt(Math.max(0, Math.min(cols.length - 1, (at < 0 ? cols.length - 1 : at) + move)));
  };
  const width = cols.length * COLUMN;
  return html`<figure class="days" role="group" aria-label=${label}>
    <p class="legend" aria-hidden="true">${parts.map((p) => html`<span key=${p.key}><svg class="mark" viewBox="0 0 10 10"><rect class=${'day-' + p.key} width="10" height="10" /></svg> ${t(p.word)}</span>`)}</p>
    <div class="days-scroll"><svg class="strip" viewBox=${`0 -22 ${width} ${HIGH + 38 + clocks.length * 12}`} tabindex="0" role="img" aria-label=${`${label}: ${chosen.date} ${says(chosen.day)}`} onKeyDown=${step} onPointerLeave=${() => setAt(-1)}>
      <defs>
        <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch-ground" width="6" height="6" /><rect class="hatch" width="3" height="6" /></pattern>
        <pattern id="dots" width="4" height="4" patternUnits="userSpaceOnUse"><rect class="hatch-ground" width="4" height="4" /><rect class="dots" x="1" y="1" width="1.5" height="1.5" /></pattern>
      </defs>
      ${cols.map(({ date, day }, i) => {
        let floor = HIGH;
        return html`<g key=${date} data-day=${date} onPointerEnter=${() => setAt(i)}><rect class="hit" x=${i * COLUMN} y="0" width=${COLUMN} height=${HIGH} />
          ${day && parts.map((p) => {
            const high = Math.max(0, p.of(day)) / DAY * HIGH;
            floor -= high;
            return high > 0 && html`<rect key=${p.key} class=${'day-' + p.key} x=${i * COLUMN} y=${floor} width=${COLUMN - 1} height=${high} />`;
          })}
          ${cols[i] === chosen && at >= 0 && html`<rect class="day-chosen" x=${i * COLUMN - 0.5} y="0" width=${COLUMN} height=${HIGH} />`}</g>`;
      })}
      ${placed(cols, flags).map(({ i, text }) => {
        const late = i > cols.length * 0.8;
        return html`<g key=${i}><rect class="flag" x=${Math.min(i * COLUMN, width - 1)} y="-18" width="1" height="18" /><text class="flag-text" x=${i * COLUMN + (late ? -4 : 4)} y="-8" text-anchor=${late ? 'end' : 'start'}>${text}</text></g>`;
      })}
      ${cols.map(({ date }, i) => i % 15 === 0 && i < cols.length - 8 || i === cols.length - 1 ? html`<text key=${date} class="axis" x=${i === cols.length - 1 ? width : i * COLUMN} y=${HIGH + 12} text-anchor=${i === cols.length - 1 ? 'end' : 'start'}>${date.slice(5)}</text>` : null)}
      ${clocks.map((c, n) => tracks(cols, c.spans).map((s, i) => html`<rect key=${c.kind + i} class=${'clock-' + c.kind} x=${s.x} y=${HIGH + 19 + n * 12} width=${s.width} height="5" />`))}
    </svg></div>
    ${clocks.length > 0 && html`<ul class="clocks">${clocks.map((c) => html`<li key=${c.kind}><svg class="mark" viewBox="0 0 10 10" aria-hidden="true"><rect class=${'clock-' + c.kind} y="3" width="10" height="5" /></svg> ${c.name}</li>`)}</ul>`}
    <p class="caption days-read">${chosen.date} · ${says(chosen.day)}</p>
    <details><summary>${t('stripTable')}</summary><table class="rows"><thead><tr><th scope="col">${t('stripDate')}</th>${parts.map((p) => html`<th key=${p.key} scope="col" class="n">${t(p.word)}</th>`)}</tr></thead>
      <tbody>${cols.filter((c) => c.day).map(({ date, day }) => html`<tr key=${date}><th scope="row">${date}</th>${parts.map((p) => html`<td key=${p.key} class="n">${num(p.of(/** @type {StripDay} */ (day)))}</td>`)}</tr>`)}</tbody></table></details>
  </figure>`;
}
