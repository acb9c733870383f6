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
    <ul>${rows.map((target) => {
      const now = actual(target), short = now !== null && now < target.value;
      const share = now === null ? 0 : Math.min(100, now / target.value * 100);
      const full = lang.value === 'zh' ? target.name_zh : target.name_en;
      return html`<li key=${target.indicator} title=${full}>
        <span class="name">${term('ind_', target.indicator).replace(/^ind_.*/, full)}</span>
        <svg class="share" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
          ${now !== null && html`<rect width="100" height="6" class="rail" />`}<rect width=${share} height="6" class="bar" /></svg>
        <span class="now">${now === null ? NO_DATA : amount(target, now)}</span>
        <span class="aim">${amount(target, target.value)}</span>
        <span class=${short ? 'gap short' : 'gap'}>${now === null ? NO_DATA : html`${short && days <= 0 && html`<span aria-hidden="true">▲ </span>`}${gap(target)}`}</span>
      </li>`;
    })}</ul>
  </section>`;
}
