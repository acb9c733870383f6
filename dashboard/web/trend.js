// @ts-check
import { html, useMemo, useRef, useState } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { Failed, Reading, useSize } from './figure.js';
import { num } from './format.js';
import { t } from './i18n.js';

const REFRESH = 10 * 60_000; // a day closes once a day
const LEFT = 32, RIGHT = 70, TOP = 8, BOTTOM = 20, HIGH = 150;
const FEW = 2; // days; fewer make no line
const DAY = 86_400_000;

/** @typedef {{date: string, total: number, nominal: number, effective: number, failing: number, unverified: number, starting: number, none: number, proven: number, not_observed: number}} Day */

/**
 * The steps of a line: a day's value holds until the next day's. Days that are missing break it.
 * @param {Day[]} days @param {(d: Day) => number} of @param {(at: number) => number} x @param {(v: number) => number} y
 */
function steps(days, of, x, y) {
  let path = '';
  days.forEach((d, i) => {
    const at = Date.parse(d.date), from = x(at), to = x(at + DAY), v = y(of(d)).toFixed(1);
    const joined = i > 0 && at - Date.parse(days[i - 1].date) === DAY;
    path += `${joined ? 'V' + v : `M${from.toFixed(1)} ${v}`}H${to.toFixed(1)}`;
  });
  return path;
}

/** What lies between nominal and effective: paper, and starting. @param {Day[]} days @param {(at: number) => number} x @param {(v: number) => number} y */
function between(days, x, y) {
  return days.map((d) => {
    const at = Date.parse(d.date), left = x(at), right = x(at + DAY), low = y(d.effective + d.starting), high = y(d.nominal);
    return low > high ? `M${left.toFixed(1)} ${high.toFixed(1)}H${right.toFixed(1)}V${low.toFixed(1)}H${left.toFixed(1)}Z` : '';
  }).join('');
}

/** A round step of which three or four reach most. @param {number} most */
function stepOf(most) {
  const raw = Math.max(1, most / 3), size = 10 ** Math.floor(Math.log10(raw));
  return Math.max(1, size * /** @type {number} */ ([1, 2, 2.5, 5, 10].find((n) => n * size >= raw && Number.isInteger(n * size)) ?? 10));
}

/** Where the axis of time is named: years, months or days, four or so. @param {number} from @param {number} to */
function ticks(from, to) {
  const long = (to - from) / DAY, first = new Date(from), all = [];
  if (long <= 60) {
    const every = Math.max(1, Math.ceil(long / 4));
    for (let at = from; at < to - every * DAY / 2; at += every * DAY) all.push({ at, text: new Date(at).toISOString().slice(5, 10) });
    return all;
  }
  const months = long > 540 ? 12 : long > 250 ? 3 : 1;
  for (let y = first.getUTCFullYear(), m = 0; ; m += months) {
    const at = Date.UTC(y, m, 1);
    if (at > to) return all;
    if (at >= from) all.push({ at, text: months === 12 ? String(new Date(at).getUTCFullYear()) : new Date(at).toISOString().slice(0, 7) });
  }
}

/** @param {{days: Day[], width: number}} props */
function Lines({ days, width }) {
  const [at, setAt] = useState(-1);
  const from = Date.parse(days[0].date), last = days[days.length - 1], to = Date.parse(last.date) + DAY;
  const total = Math.max(...days.map((d) => d.total)), step = stepOf(total), top = Math.max(step, Math.ceil(total / step) * step);
  const x = (/** @type {number} */ t) => LEFT + (t - from) / (to - from) * (width - LEFT - RIGHT);
  const y = (/** @type {number} */ v) => TOP + (1 - v / top) * (HIGH - TOP - BOTTOM);
  const drawn = useMemo(() => ({ eff: steps(days, (d) => d.effective, x, y), nominal: steps(days, (d) => d.nominal, x, y), paper: between(days, x, y) }), [days, width]);
  const read = days[at] || last;
  const nameY = { nominal: y(last.nominal) + 4, eff: y(last.effective) + 4 };
  if (nameY.eff - nameY.nominal < 14) nameY.eff = nameY.nominal + 14;
  const key = (/** @type {any} */ e) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[/** @type {string} */ (e.key)];
    if (!move) return;
    e.preventDefault();
    setAt(Math.max(0, Math.min(days.length - 1, (at < 0 ? days.length - 1 : at) + move)));
  };
  const over = (/** @type {any} */ e) => {
    const time = from + (e.offsetX - LEFT) / (width - LEFT - RIGHT) * (to - from);
    const found = days.findIndex((d) => Date.parse(d.date) + DAY > time);
    setAt(found);
  };
  const says = t('trendDay', { date: read.date, effective: num(read.effective), nominal: num(read.nominal), failing: num(read.failing), unverified: num(read.unverified), total: num(read.total) });
  return html`<svg class="trend" width=${width} height=${HIGH} role="img" tabindex="0" aria-label=${`${t('trend')}: ${says}`} onKeyDown=${key} onPointerMove=${over} onPointerLeave=${() => setAt(-1)}>
      ${Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step).map((v) => html`<g key=${v}><line class=${v ? 'rule' : 'base'} x1=${LEFT} x2=${width - RIGHT} y1=${y(v)} y2=${y(v)} /><text x=${LEFT - 6} y=${y(v) + 4} text-anchor="end">${num(v)}</text></g>`)}
      ${ticks(from, to).map(({ at: when, text }, i) => html`<text key=${text} x=${x(when)} y=${HIGH - 4} text-anchor=${i === 0 && x(when) < LEFT + 20 ? 'start' : 'middle'}>${text}</text>`)}
      <path class="between" d=${drawn.paper} /><path class="nominal" d=${drawn.nominal} /><path class="effective" d=${drawn.eff} />
      <text x=${width - RIGHT + 6} y=${nameY.nominal}>${t('nominalShort')} ${num(last.nominal)}</text>
      <text class="strong" x=${width - RIGHT + 6} y=${nameY.eff}>${t('effective')} ${num(last.effective)}</text>
      ${at >= 0 && html`<line class="read" x1=${x(Date.parse(read.date) + DAY / 2)} x2=${x(Date.parse(read.date) + DAY / 2)} y1=${TOP} y2=${HIGH - BOTTOM} />`}
    </svg>
    <p class="caption">${says}</p>`;
}

/** The first of each month and the last day, the newest first. @param {Day[]} days */
const rowsOf = (days) => (days.length > 62 ? days.filter((d, i) => d.date.endsWith('-01') || i === days.length - 1) : [...days]).reverse();

/** A division's coverage day by day. @param {{division: string, scope: string}} props */
export function Trend({ division, scope }) {
  const { data, error, retry } = useGet('coverage/history', { division, scope }, REFRESH);
  const box = useRef(null);
  const { width } = useSize(box);
  const days = data ? data.days : [];
  return html`<section class="trend-panel" aria-labelledby="trend-title">
    <header><h2 id="trend-title">${days.length ? t('trendSince', { date: days[0].date }) : t('trend')}</h2><p>${t('trendNote')}</p></header>
    <div ref=${box}>
      ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
      ${data && days.length < FEW && html`<p class="empty">${t(days.length ? 'trendShort' : 'trendNone')}</p>`}
      ${days.length >= FEW && width > 0 && html`<${Lines} days=${days} width=${Math.floor(width)} />
        <details><summary>${t('byDayTable')}</summary><table class="rows"><thead><tr><th scope="col">${t('stripDate')}</th><th scope="col" class="n">${t('effective')}</th><th scope="col" class="n">${t('nominalShort')}</th><th scope="col" class="n">${t('paper')}</th><th scope="col" class="n">${t('towns')}</th></tr></thead>
          <tbody>${rowsOf(days).map((d) => html`<tr key=${d.date}><th scope="row">${d.date}</th><td class="n">${num(d.effective)}</td><td class="n">${num(d.nominal)}</td><td class="n">${num(d.failing + d.unverified)}</td><td class="n">${num(d.total)}</td></tr>`)}</tbody></table></details>`}
    </div></section>`;
}
