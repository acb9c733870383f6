// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { moment, num } from './format.js';
import { t, term, Zh } from './i18n.js';

/** What is added up of each class. @param {any[]} faults */
function classesOf(faults) {
  /** @type {Map<string, {class: string, faults: number, alarms: number, danger: number}>} */
  const all = new Map();
  for (const f of faults) {
    const sum = all.get(f.class) || { class: f.class, faults: 0, alarms: 0, danger: 0 };
    sum.faults += f.faults; sum.alarms += f.alarms; sum.danger += f.danger;
    all.set(f.class, sum);
  }
  return [...all.values()].sort((a, b) => b.faults + b.alarms - a.faults - a.alarms);
}

/**
 * Faults by code, under the sum of each class; whose, where they are of several operators.
 * @param {{faults: any[], labelledby: string, piles?: boolean}} props
 */
export function FaultTable({ faults, labelledby, piles }) {
  if (!faults.length) return html`<p class="empty">${t('noFaultsCounted')}</p>`;
  return html`<p class="fault-classes">${classesOf(faults).map((c) => html`<span key=${c.class}>${term('cls_', c.class)} <b>${num(c.faults + c.alarms)}</b>${c.danger > 0 && html` <span class="fault">${t('ofDanger', { n: num(c.danger) })}</span>`}</span>`)}</p>
    <table class="rows ledger evidence" aria-labelledby=${labelledby}><thead><tr>${piles && html`<th scope="col">${t('operator')}</th>`}<th scope="col">${t('faultName')}</th><th scope="col">${t('sendersCode')}</th><th scope="col">${t('faultClass')}</th><th scope="col">${t('severity')}</th>
      <th scope="col" class="n">${t('timesFault')}</th><th scope="col" class="n">${t('timesAlarm')}</th>${piles && html`<th scope="col" class="n">${t('piles')}</th>`}<th scope="col">${t('lastTime')}</th></tr></thead>
      <tbody>${faults.map((f) => html`<tr key=${(f.operator || '') + f.fault + '/' + f.code} data-fault=${f.fault} data-code=${f.code}>${piles && html`<th scope="row" class="main"><${Zh}>${f.operator}<//></th>`}${piles ? html`<td>${term('f_', f.fault)}</td>` : html`<th scope="row">${term('f_', f.fault)}</th>`}<td data-label=${t('sendersCode')}>${f.code ? html`<code>${f.code}</code>` : html`<span class="quiet">${t('sameCode')}</span>`}</td>
        <td data-label=${t('faultClass')}>${term('cls_', f.class)}</td><td data-label=${t('severity')} class=${f.severity === 'danger' ? 'fault' : ''}>${term('sev_', f.severity)}</td><td class="n" data-label=${t('timesFault')}>${num(f.faults)}</td><td class="n" data-label=${t('timesAlarm')}>${num(f.alarms)}</td>${piles && html`<td class="n">${num(f.piles)}</td>`}<td class="quiet" data-label=${t('lastTime')}>${moment(f.last)}</td></tr>`)}</tbody></table>`;
}
