// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { Failed, Reading, Unit } from './figure.js';
import { NO_DATA, num } from './format.js';
import { lang, t, term } from './i18n.js';

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

/** @param {any} target */
function gap(target) {
  const missing = target.value - actual(target);
  if (missing <= 0) return t('reached');
  return t('short', { n: target.kind === 'share' ? t('points', { n: num(missing, 1) }) : num(missing) });
}

/** @param {any} target */
const fullName = (target) => lang.value === 'zh' ? target.name_zh : target.name_en;

/** @param {any} target */
const shortName = (target) => {
  const word = term('ind_', target.indicator);
  return word.startsWith('ind_') ? fullName(target) : word;
};

/**
 * A target whose actual is known; over: its day has passed.
 * @param {{target: any, over: boolean}} props
 */
function Known({ target, over }) {
  const now = actual(target), short = now < target.value;
  return html`<li title=${fullName(target)}>
    <span class="name">${shortName(target)}</span>
    <svg class="share" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="6" class="rail" /><rect width=${Math.min(100, now / target.value * 100)} height="6" class="fill" /></svg>
    <span class="now">${amount(target, now)}</span><span class="aim">/ ${amount(target, target.value)}</span>
    <span class=${short ? 'gap short' : 'gap'}>${short && over && html`<span aria-hidden="true">▲ </span>`}${gap(target)}</span></li>`;
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
      ${rows.length > 0 && html`<p>${t(days > 0 ? 'targetsLeft' : 'targetsOver', { year, days: t('days', { n: num(Math.abs(days)) }) })} · <span lang="zh-CN">${rows[0].document}</span></p>`}</header>
    ${error ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    <div class="columns">
      <ul class="known">${rows.filter((r) => actual(r) !== null).map((target) => html`<${Known} key=${target.indicator} target=${target} over=${days <= 0} />`)}</ul>
      <ul class="unknown">${rows.filter((r) => actual(r) === null).map((target) => html`<li key=${target.indicator} title=${fullName(target)}>
        <span class="name">${shortName(target)}</span><span class="now">${NO_DATA}</span><span class="aim">${amount(target, target.value)}</span></li>`)}</ul>
    </div>
  </section>`;
}
