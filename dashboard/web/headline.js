// @ts-check
import { html, useEffect, useRef, useState } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { Figure, Unit } from './figure.js';
import { NO_DATA, num, percent } from './format.js';
import { t } from './i18n.js';
import { Mark, Ring, STATES } from './marks.js';

const PLAN_LIST = '2023-06-30'; // of divisions, by which the plan counts
const PLAN_EVERY = 60_000;
const SPEAK_EVERY = 60_000; // to a screen reader

/**
 * The ring, the headline and the states' table.
 * @param {{counts: any}} props of the province's towns; null while it is not known
 */
export function Headline({ counts }) {
  const n = (/** @type {string} */ key) => counts ? num(counts[key]) : NO_DATA;
  return html`<section class="headline" aria-label=${t('headline')}>
    <${Ring} counts=${counts} />
    <div class="figures">
      <h1 class="caption">${t('headline')}</h1>
      <p class="percent"><${Figure} id="headline" value=${counts && counts.effective}>${percent(counts?.effective, counts?.total)}<//></p>
      <p class="of">${t('ofTowns', { n: n('effective'), of: n('total') })}</p>
      <p class="caption">${t('definition')}</p>
      ${counts && counts.divisions_as_of !== PLAN_LIST && html`<${PlanList} division=${counts.division} />`}
      <${Spoken} counts=${counts} />
    </div>
    <table class="states">
      <caption class="unseen">${t('states')}</caption>
      <thead class="unseen"><tr><th>${t('state')}</th><th>${t('towns')}</th><th>${t('share')}</th></tr></thead>
      <tbody>${STATES.map((state) => html`<tr key=${state}>
        <th scope="row"><${Mark} state=${state} /> ${t(/** @type {any} */ (state + 'Long'))}</th>
        <td><${Figure} value=${counts && counts[state]}><b>${n(state)}</b><//></td><td>${percent(counts?.[state], counts?.total)}</td>
      </tr>`)}</tbody>
      <tfoot><tr>
        <th scope="row">${t('nominal')}<small>${counts && t('paperOf', { n: n('paper'), percent: percent(counts.paper, counts.total) })}</small></th>
        <td>${n('nominal')}</td><td>${percent(counts?.nominal, counts?.total)}</td>
      </tr></tfoot>
    </table>
  </section>`;
}

/** The same by the plan's list, beside today's. @param {{division: string}} props */
function PlanList({ division }) {
  const { data } = useGet('coverage', { division, denominator: 'plan' }, PLAN_EVERY);
  return data && html`<p class="caption" data-plan=${data.total}>${t('byPlanList', { day: PLAN_LIST, n: num(data.effective), of: num(data.total), percent: percent(data.effective, data.total) })}</p>`;
}

/** The headline for those who hear the page, at most once a minute. @param {{counts: any}} props */
function Spoken({ counts }) {
  const [said, say] = useState('');
  const next = useRef(0);
  const text = counts ? t('headlineSaid', { percent: percent(counts.effective, counts.total), n: num(counts.effective), of: num(counts.total) }) : '';
  useEffect(() => {
    if (text === said) return undefined;
    const timer = setTimeout(() => {
      next.current = Date.now() + SPEAK_EVERY;
      say(text);
    }, Math.max(0, next.current - Date.now()));
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class="unseen" role="status">${said}</p>`;
}

/**
 * The connectors' key figures, each with what it is a share of.
 * @param {{connectors: any}} props public ones of the whole province
 */
export function KeyFigures({ connectors: c }) {
  const cells = [
    { name: t('online'), value: c?.online, of: c?.public, note: c && t('onlineNote', { of: num(c.public) }) },
    { name: t('usable'), value: c?.usable, of: c?.public, note: c && t('usableNote', { percent: percent(c.usable, c.public) }) },
    { name: t('charging'), value: c?.charging, of: c?.usable, note: c && t('chargingNote', { percent: percent(c.charging, c.usable) }) },
    { name: t('fault'), value: c?.fault, of: c?.public, note: c && t('faultNote', { percent: percent(c.fault, c.public) }), kind: 'fault' },
  ];
  return html`<ul class="kpis">
    ${cells.map(({ name, value, of, note, kind = '' }) => html`<li key=${name}>
      <span class="caption">${name}</span>
      <span class="kpi"><${Figure} class=${value ? kind : ''} value=${value}>${num(value)}<//><${Unit}>${t('connectorUnit')}<//></span>
      <span class="caption">${note || NO_DATA}</span>
      <svg class=${'share ' + kind} viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="4" class="rail" /><rect width=${of ? value / of * 100 : 0} height="4" class="fill" /></svg>
    </li>`)}
    <li>
      <span class="caption">${t('power')}</span>
      <span class="kpi"><${Figure} value=${c && Math.round(c.power_kw / 100)}>${c ? num(c.power_kw / 1000, 1) : NO_DATA}<//><${Unit}>MW<//></span>
      <span class="caption">${c ? t('powerNote', { n: c.charging ? num(c.power_kw / c.charging, 1) : NO_DATA }) : NO_DATA}</span>
    </li>
  </ul>`;
}
