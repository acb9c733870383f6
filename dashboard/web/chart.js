// @ts-check
import { html, useEffect, useLayoutEffect, useRef, useState } from './vendor/htm/standalone.mjs';
import { get } from './api.js';
import { Failed, Reading, useSize } from './figure.js';
import { moment, num } from './format.js';
import { lang, t } from './i18n.js';
import { colour, theme, useStores } from './store.js';

const ranges = {
  '1h': { span: 3_600_000, step: '15s', gap: 120_000, word: /** @type {const} */ ('range1h') },
  '24h': { span: 86_400_000, step: '5m', gap: 900_000, word: /** @type {const} */ ('range24h') },
  '7d': { span: 7 * 86_400_000, step: '30m', gap: 5_400_000, word: /** @type {const} */ ('range7d') },
  '30d': { span: 30 * 86_400_000, step: '2h', gap: 21_600_000, word: /** @type {const} */ ('range30d') },
};

/** @typedef {keyof typeof ranges} Range */

/** The ranges, for whoever chooses one. @returns {{value: string, name: string}[]} */
export const rangeChoices = () => Object.entries(ranges).map(([value, { word }]) => ({ value, name: t(word) }));

/** @param {string | undefined} text @returns {Range} */
export const rangeOf = (text) => text !== undefined && Object.hasOwn(ranges, text) ? /** @type {Range} */ (text) : '1h';

const TABLE_ROWS = 200; // of the table behind the chart

/** The axis is drawn in UTC; so the hour that it shows is that of Asia/Shanghai, which has no summer time. */
const SHIFT = 8 * 3_600_000;

/** @typedef {[number, number | null]} Sample time in ms and value; null ends a line */
/** @typedef {Map<string, {power: Sample[], soc: Sample[]}>} Lines by connector */

/**
 * Puts a value behind a line; over a gap the line is not drawn.
 * @param {Sample[]} line @param {number} at @param {number | undefined} value @param {number} gap
 */
function append(line, at, value, gap) {
  const last = line[line.length - 1];
  if (last && at <= last[0]) return;
  if (value === undefined) {
    if (last && last[1] !== null) line.push([at, null]);
    return;
  }
  if (last && last[1] !== null && at - last[0] > gap) line.push([last[0] + 1, null]);
  line.push([at, value]);
}

/** @param {Lines} lines @param {string} connector */
function linesOf(lines, connector) {
  let found = lines.get(connector);
  if (!found) lines.set(connector, found = { power: [], soc: [] });
  return found;
}

/** @param {Lines} lines @param {number} from @param {number} to @param {[number, number]} seen the part in view, in % */
function optionOf(lines, from, to, seen) {
  const shown = (to - from) * (seen[1] - seen[0]) / 100;
  const text = { color: colour('ink3'), fontSize: 11, fontFamily: getComputedStyle(document.body).fontFamily };
  const colours = ['eff', 'ink2', 'acc', 'off'].map(colour);
  const rule = { lineStyle: { color: colour('line') } };
  const sorted = [...lines].sort(([a], [b]) => a < b ? -1 : 1);
  const axis = { axisLine: { show: false }, axisTick: { show: false }, splitLine: rule, axisLabel: text, nameTextStyle: { ...text, align: 'right' }, min: 0, splitNumber: 4 };
  const series = sorted.flatMap(([connector, { power, soc }], i) => [[power, 0, 'kW'], [soc, 1, '%']].flatMap(([all, grid, unit]) => {
    const line = /** @type {Sample[]} */ (all).filter(([at]) => at >= from).map(([at, v]) => [at + SHIFT, v]);
    const last = line[line.length - 1];
    const common = { xAxisIndex: grid, yAxisIndex: grid, silent: true, animation: false, name: t('connectorNo', { n: connector }) };
    const drawn = [{ ...common, type: 'line', data: line, showSymbol: false, connectNulls: false, lineStyle: { width: 2, color: colours[i % 4], type: i ? [5, 3] : 'solid' } }];
    if (!last || last[1] === null) return drawn;
    return [...drawn, { // the newest value is provisional
      ...common, type: 'scatter', data: [last], symbolSize: 7, itemStyle: { color: colour('surface'), borderColor: colours[i % 4], borderWidth: 2 },
      label: { show: true, position: 'right', distance: 8, ...text, color: colour('ink'), fontWeight: 700, formatter: () => `${connector}: ${num(last[1], grid ? 0 : 1)} ${unit}` }, labelLayout: { moveOverlap: 'shiftY' },
    }];
  }));
  const time = (/** @type {number} */ grid) => ({
    type: 'time', gridIndex: grid, min: from + SHIFT, max: to + SHIFT, axisLine: { lineStyle: { color: colour('line2') } }, axisTick: { show: false }, splitLine: { show: false },
    axisLabel: { ...text, show: grid === 1, formatter: shown > 3 * 86_400_000 ? '{MM}-{dd}' : shown > 86_400_000 ? '{MM}-{dd} {HH}:{mm}' : '{HH}:{mm}', hideOverlap: true },
  });
  return {
    animation: false, useUTC: true,
    grid: [{ left: 44, right: 84, top: 24, height: '46%' }, { left: 44, right: 84, bottom: 26, height: '26%' }],
    dataZoom: [{ type: 'inside', xAxisIndex: [0, 1], start: seen[0], end: seen[1], zoomOnMouseWheel: 'ctrl', moveOnMouseWheel: false, filterMode: 'none', minSpan: 2 }],
    xAxis: [time(0), time(1)],
    yAxis: [{ ...axis, type: 'value', gridIndex: 0, name: 'kW' }, { ...axis, type: 'value', gridIndex: 1, name: 'SOC %', max: 100, splitNumber: 2 }],
    series,
  };
}

/**
 * Power and SOC of a pile: what was, from the history, and what comes.
 * @param {{id: string, range: Range, live: any[]}} props
 */
export function PileChart({ id, range, live }) {
  useStores([theme, lang]);
  const { span, step, gap, word } = ranges[range];
  const box = useRef(/** @type {any} */ (null)), chart = useRef(/** @type {any} */ (null)), lines = useRef(/** @type {Lines} */ (new Map()));
  const [seen, setSeen] = useState(/** @type {[number, number]} */ ([0, 100]));
  const [drawing, setDrawing] = useState(/** @type {{ready: boolean, error: any, turn: number}} */ ({ ready: false, error: null, turn: 0 }));
  const size = useSize(box);

  useEffect(() => {
    const stop = new AbortController();
    const to = Date.now();
    Promise.all([
      import('./vendor/echarts/echarts.esm.min.mjs'),
      get(`piles/${encodeURIComponent(id)}/history`, { from: new Date(to - span).toISOString(), to: new Date(to).toISOString(), step }, stop.signal),
    ]).then(([echarts, { rows }]) => {
      lines.current = new Map();
      for (const row of rows) {
        const at = Date.parse(row.at), found = linesOf(lines.current, row.connector);
        append(found.power, at, row.power_kw?.mean, gap);
        append(found.soc, at, row.soc_pct?.mean, gap);
      }
      chart.current = echarts.init(box.current, null, { renderer: 'canvas' });
      chart.current.on('datazoom', () => {
        const { start, end } = chart.current.getOption().dataZoom[0];
        setSeen((old) => old[0] === start && old[1] === end ? old : [start, end]);
      });
      setDrawing((d) => ({ ...d, ready: true, error: null }));
    }).catch((error) => { if (!stop.signal.aborted) setDrawing((d) => ({ ...d, error })); });
    return () => {
      stop.abort();
      if (chart.current) chart.current.dispose();
      chart.current = null;
    };
  }, [id, drawing.turn]);

  useLayoutEffect(() => {
    if (!drawing.ready) return;
    for (const c of live) {
      const found = linesOf(lines.current, c.connector), charging = c.status === 'charging' && !c.silent;
      append(found.power, Date.parse(c.at), charging ? c.power_kw : undefined, gap);
      append(found.soc, Date.parse(c.at), charging ? c.soc_pct : undefined, gap);
    }
  }, [live, drawing.ready]);

  useLayoutEffect(() => {
    if (!drawing.ready || !size.width) return;
    const to = Date.now();
    chart.current.resize({ width: size.width, height: size.height });
    chart.current.setOption(optionOf(lines.current, to - span, to, seen), { notMerge: true });
  }, [live, drawing.ready, seen, size.width, size.height, theme.value, lang.value]);

  /** Makes the part in view so many times as long, and moves it by a share of itself. @param {number} by @param {number} move */
  const zoom = (by, move) => setSeen(([from, to]) => {
    const long = Math.min(100, Math.max(2, (to - from) * by)), middle = (from + to) / 2 + (to - from) * move;
    const start = Math.max(0, Math.min(100 - long, middle - long / 2));
    return [start, start + long];
  });
  const empty = drawing.ready && [...lines.current.values()].every(({ power, soc }) => !power.length && !soc.length);
  return html`<div class="chart-box">
    ${drawing.error ? html`<${Failed} error=${drawing.error} retry=${() => setDrawing((d) => ({ ...d, error: null, turn: d.turn + 1 }))} />` : !drawing.ready && html`<${Reading} />`}
    ${empty && html`<p class="empty">${t('noHistory')}</p>`}
    <div class="chart" ref=${box} role="img" aria-label=${t('chartSaid', { range: t(word) })}></div>
    <div class="chart-tools" role="group" aria-label=${t('zoom')}>
      <button type="button" onClick=${() => zoom(0.5, 0)} disabled=${seen[1] - seen[0] <= 4}>${t('zoomIn')}</button><button type="button" onClick=${() => zoom(2, 0)} disabled=${seen[1] - seen[0] >= 100}>${t('zoomOut')}</button>
      <button type="button" onClick=${() => zoom(1, -0.5)} disabled=${seen[0] <= 0}>${t('earlier')}</button><button type="button" onClick=${() => zoom(1, 0.5)} disabled=${seen[1] >= 100}>${t('laterOn')}</button></div>
    ${drawing.ready && html`<${ChartTable} lines=${lines.current} from=${Date.now() - span} span=${span} seen=${seen} />`}
  </div>`;
}

/**
 * The same figures as a table, of what is in view.
 * @param {{lines: Lines, from: number, span: number, seen: [number, number]}} props
 */
function ChartTable({ lines, from, span, seen }) {
  const [open, setOpen] = useState(false);
  const first = from + span * seen[0] / 100, last = from + span * seen[1] / 100;
  const rows = open ? [...lines].flatMap(([connector, { power, soc }]) => {
    const charge = new Map(soc);
    return power.filter(([at, v]) => v !== null && at >= first && at <= last).map(([at, v]) => ({ connector, at, power: v, soc: charge.get(at) ?? null }));
  }).sort((a, b) => b.at - a.at).slice(0, TABLE_ROWS) : [];
  return html`<details onToggle=${(/** @type {any} */ e) => setOpen(e.target.open)}><summary>${t('asRows', { n: TABLE_ROWS })}</summary>
    <table class="rows"><thead><tr><th scope="col">${t('time')}</th><th scope="col">${t('connector')}</th><th scope="col" class="n">${t('powerShort')} kW</th><th scope="col" class="n">SOC %</th></tr></thead>
    <tbody>${rows.map((r) => html`<tr key=${r.connector + r.at}><th scope="row">${moment(new Date(r.at).toISOString())}</th><td>${r.connector}</td><td class="n">${num(r.power, 1)}</td><td class="n">${num(r.soc)}</td></tr>`)}</tbody></table></details>`;
}
