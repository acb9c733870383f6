// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { Failed, Reading } from './figure.js';
import { num, percent } from './format.js';
import { Place, t } from './i18n.js';
import { Mark } from './marks.js';
import { reasonText } from './reasons.js';
import { divisionHref } from './route.js';

const REFRESH = 60_000;
const FIRST = 100;

/** The components, in the order of the weights' bar. @type {{key: string, word: import('./i18n.js').Word, value: (v: number) => string}[]} */
const components = [
  { key: 'distance', word: 'gapDistance', value: (v) => `${num(v, 1)} km` }, { key: 'demand', word: 'gapDemand', value: (v) => `${num(v / 1000, 1)} MWh` },
  { key: 'tags', word: 'gapTags', value: (v) => num(v) }, { key: 'population', word: 'gapPopulation', value: (v) => num(v) },
  { key: 'grid', word: 'gapGrid', value: (v) => `${num(v)} kVA` }, { key: 'holiday', word: 'gapHoliday', value: (v) => `${num(v)} kW` },
];

/** @param {any} part */
const partText = (part, /** @type {(v: number) => string} */ value) => part.value === null ? t('noData') : value(part.value);

/** What makes a place's score, one piece a component; what is not known is outlined. @param {{priority: any, weights: Record<string, number>}} props */
function ScoreBar({ priority, weights }) {
  let from = 0;
  return html`<svg class="score" width="72" height="8" viewBox="0 0 72 8" aria-hidden="true">${components.map(({ key }, i) => {
    const part = priority.components[key], wide = part.percentile * weights[key] * 72, x = from;
    from += wide;
    return wide >= 0.5 && html`<rect key=${key} class=${part.value === null ? 'gap-none' : 'gap-' + i} x=${x + 0.25} y="0.5" width=${Math.max(0.5, wide - 0.75)} height="7" />`;
  })}</svg>`;
}

/**
 * Towns without effective coverage, those first where a station or its repair is missing most.
 * @param {{division: string, limit?: number, bare?: boolean}} props bare: without what a reader would click
 */
export function GapList({ division, limit = FIRST, bare = false }) {
  const { data, error, retry } = useGet('townships', { division, tier: 'towns', sort: 'priority', limit }, REFRESH);
  if (error && !data) return html`<${Failed} error=${error} retry=${retry} />`;
  if (!data) return html`<${Reading} />`;
  if (!data.townships.length) return html`<p class="empty">${t('noGaps')}</p>`;
  return html`<table class="rows gap-list" aria-label=${t('gapRanking')}><thead><tr><th scope="col" class="n">${t('rank')}</th><th scope="col">${t('township')}</th><th scope="col">${t('state')}</th>
      ${!bare && html`<th scope="col">${t('basis')}</th>`}<th scope="col">${t('priority')}</th>${components.map(({ key, word }) => html`<th key=${key} scope="col" class="n">${t(word)}</th>`)}<th scope="col" class="n">${t('stability')}</th></tr></thead>
    <tbody>${data.townships.map((/** @type {any} */ r) => html`<tr key=${r.division} data-division=${r.division} data-rank=${r.priority.rank}>
      <td class="n">${num(r.priority.rank)}</td>
      <th scope="row"><a href=${divisionHref(r.division)}><${Place} code=${r.division} name=${division.length === 6 ? r.name : `${r.county} ${r.name}`} /></a></th>
      <td class=${'state state-' + r.state}><${Mark} state=${r.state} notObserved=${r.not_observed} /> ${t(r.state)}</td>
      ${!bare && html`<td class="reason">${reasonText(r)}</td>`}
      <td class="state"><${ScoreBar} priority=${r.priority} weights=${data.weights} /> <b>${num(r.priority.score * 100)}</b></td>
      ${components.map(({ key, word, value }) => html`<td key=${key} class=${r.priority.components[key].value === null ? 'n without' : 'n'} data-label=${t(word)}>${partText(r.priority.components[key], value)}</td>`)}
      <td class="n" data-label=${t('stability')}>${percent(r.priority.stability, 1, 0)}</td></tr>`)}</tbody></table>`;
}

/** How the ranking weighs. @param {{division: string}} props */
export function Weights({ division }) {
  const { data } = useGet('townships', { division, tier: 'towns', sort: 'priority', limit: 1 }, REFRESH);
  if (!data) return null;
  return html`<section aria-labelledby="weights-title"><header><h2 id="weights-title">${t('weights')}</h2><p>${t('policyVersion', { version: data.policy })}</p></header>
    <dl class="facts">${components.map(({ key, word }, i) => html`<div key=${key}><dt><svg class="mark" viewBox="0 0 10 10" aria-hidden="true"><rect class=${'gap-' + i} width="10" height="10" /></svg> ${t(word)}</dt><dd>${percent(data.weights[key], 1, 0)}</dd></div>`)}</dl>
    <p class="caption">${t('weightsNote')}</p></section>`;
}
