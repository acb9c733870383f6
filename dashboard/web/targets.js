// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { ExportLinks } from './export.js';
import { Failed, Reading, Unit } from './figure.js';
import { NO_DATA, num } from './format.js';
import { lang, t, term } from './i18n.js';
import { href } from './route.js';

const REFRESH = 60_000;

/**
 * The last year's target of each indicator; those with a known actual first.
 * @param {any[]} targets
 */
function latest(targets) {
  /** @type {Map<string, any>} */
  const last = new Map();
  for (const target of targets) if ((last.get(target.indicator)?.year ?? 0) < target.year) last.set(target.indicator, target);
  const known = (/** @type {any} */ target) => actual(target) === null ? 1 : 0;
  return [...last.values()].sort((a, b) => known(a) - known(b));
}

/** @param {any} target */
const actual = (target) => target.reported ?? target.connected ?? null;

/** @param {any} target @param {number} n */
function amount(target, n) {
  if (target.kind === 'share') return html`${num(n, Number.isInteger(n) ? 0 : 1)}<${Unit}>${target.unit === '% a year' ? t('unit_year') : '%'}<//>`;
  const unit = Object.hasOwn({ piles: 1, counties: 1, townships: 1 }, target.unit) ? term('unit_', target.unit) : target.unit;
  return html`${num(n)}<${Unit}>${unit}<//>`;
}

/** A difference: points of a share. @param {any} target @param {number} n @param {number} [decimals] */
const difference = (target, n, decimals = 0) => target.kind === 'share' ? t('points', { n: num(n, Math.max(1, decimals)) }) : num(n, decimals);

/** Whether what is there is less than what is due today. @param {any} target */
const behind = (target) => target.shortfall > 0 && (target.days_overdue > 0 || target.due !== null && actual(target) < target.due
  || Boolean(target.pace && target.pace.per_day !== null && !onTime(target)));

/** Whether the target is reached in time at this pace. @param {any} target */
const onTime = (target) => Boolean(target.pace && target.pace.on && target.pace.on <= `${target.year}-12-31`);

/** When it is reached at this pace, in words; '' where nothing tells of it. @param {any} target */
function projected(target) {
  const { pace } = target;
  if (!pace || pace.per_day === null) return '';
  if (!pace.on) return t('notAtThisPace');
  return onTime(target) ? t('onPace') : t('projected', { month: pace.on.slice(0, 7) });
}

/** 差 258 · 预计 2026-06 @param {any} target */
function gap(target) {
  if (!(target.shortfall > 0)) return t('reached');
  return [t('short', { n: difference(target, target.shortfall) }), projected(target)].filter(Boolean).join(' · ');
}

/**
 * How far it is: the rail ends at the target, the tick is what is due by today.
 * @param {{target: any}} props
 */
function Bar({ target }) {
  const at = (/** @type {number} */ n) => Math.max(0, Math.min(100, n / target.value * 100));
  return html`<svg class="bar-of" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true"><rect y="4" width="100" height="6" class="rail" /><rect y="4" width=${at(actual(target) ?? 0)} height="6" class="fill" />
    ${target.due !== null && html`<rect class="due" x=${Math.min(99.4, at(target.due))} width="0.6" height="14" />`}</svg>`;
}

/** @param {any} target */
const fullName = (target) => lang.value === 'zh' ? target.name_zh : target.name_en;

/** @param {any} target */
const shortName = (target) => {
  const word = term('ind_', target.indicator);
  return word.startsWith('ind_') ? fullName(target) : word;
};

/** A target whose actual is known. @param {{target: any}} props */
function Known({ target }) {
  return html`<li title=${fullName(target)}>
    <span class="name">${shortName(target)}</span><${Bar} target=${target} />
    <span class="now">${amount(target, actual(target))}</span><span class="aim">/ ${amount(target, target.value)}</span>
    <span class=${behind(target) ? 'gap short' : 'gap'}>${behind(target) && html`<span aria-hidden="true">▲ </span>`}${gap(target)}</span></li>`;
}

/** The plan's targets beside what there is. @param {{division: string}} props */
export function Targets({ division }) {
  const { data, error, retry } = useGet('targets', { division }, REFRESH);
  const rows = data ? latest(data.targets) : [];
  const year = Math.max(...rows.map((r) => r.year));
  const end = Date.UTC(year, 11, 31, 16); // 24:00 of the last day in Shanghai
  const days = Math.ceil((end - Date.now()) / 86_400_000);
  return html`<section class="panel targets" aria-labelledby="targets-title">
    <header><h2 id="targets-title">${t('targets')}</h2>
      ${rows.length > 0 && html`<p>${t(days > 0 ? 'targetsLeft' : 'targetsOver', { year, days: t('days', { n: num(Math.abs(days)) }) })} · ${t('blueLine')}</p>`}<a href=${href(['targets'])}>${t('all')}</a></header>
    ${error ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    <div class="columns">
      <ul class="known">${rows.filter((r) => actual(r) !== null).map((target) => html`<${Known} key=${target.indicator} target=${target} />`)}</ul>
      <ul class="unknown">${rows.filter((r) => actual(r) === null).map((target) => html`<li key=${target.indicator} title=${fullName(target)}>
        <span class="name">${shortName(target)}</span><span class="now">${NO_DATA}</span><span class="aim">${amount(target, target.value)}</span></li>`)}</ul>
    </div>
  </section>`;
}

/** One target with all that is known of it. @param {{target: any}} props */
function Goal({ target }) {
  const { pace } = target, known = actual(target) !== null;
  const range = pace && pace.on ? `${pace.early ?? t('neverReached')} – ${pace.late ?? t('neverReached')}` : '';
  return html`<li data-indicator=${target.indicator} data-year=${target.year} class=${known ? '' : 'unknown'}>
    <span class="name"><span>${fullName(target)}</span><small>${t('byYearEnd', { year: target.year })} · <span lang="zh-CN">${target.document}</span></small></span>
    <${Bar} target=${target} />
    <span>${known ? html`<b>${amount(target, actual(target))}</b>` : NO_DATA} / ${amount(target, target.value)}
      <small>${t('reportedIs')} ${target.reported === null ? NO_DATA : amount(target, target.reported)} · ${t('connectedIs')} ${target.connected === null ? NO_DATA : amount(target, target.connected)}</small></span>
    <span class="pace">${t('dueToday')} ${target.due === null ? NO_DATA : amount(target, target.due)}<small>${pace && pace.per_day !== null ? t('perDay', { n: (pace.per_day > 0 ? '+' : '') + difference(target, pace.per_day, 2), days: num(pace.days) }) : t('noPace')}</small></span>
    <span class=${behind(target) ? 'short' : ''}>${behind(target) && html`<span aria-hidden="true">▲ </span>`}${known ? gap(target) : NO_DATA}
      <small>${target.days_overdue > 0 ? t('overdue', { n: num(target.days_overdue) }) : ''}${target.days_overdue > 0 && range ? ' · ' : ''}${range}</small></span></li>`;
}

/** All targets of the plan. @param {{division: string}} props */
export function TargetsPage({ division }) {
  const { data, error, retry } = useGet('targets', { division }, REFRESH);
  return html`<section class="panel list" aria-labelledby="goals-title"><header><h1 id="goals-title">${t('targetsPage')}</h1><p>${t('goalsNote')}</p></header>
    <div class="controls"><${ExportLinks} table="targets" params=${{ division }} /></div>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !data.targets.length && html`<p class="empty">${t('noTargets')}</p>`}
    ${data && html`<ul class="goals">${data.targets.map((/** @type {any} */ target) => html`<${Goal} key=${target.indicator + target.year} target=${target} />`)}</ul>`}
  </section>`;
}
