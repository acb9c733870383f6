// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { Failed, Reading } from './figure.js';
import { moment } from './format.js';
import { t } from './i18n.js';

/** The policy in force, and the versions before and after it. */
export function Policy() {
  const { data, error, retry } = useGet('policies');
  return html`<section class="panel policy" aria-labelledby="policy-title"><header><h2 id="policy-title">${t('policy')}</h2><p>${t('policyNote')}</p></header>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && data.policies.map((/** @type {any} */ p) => html`<details key=${p.version} data-policy=${p.version}><summary><b>${p.version}</b> <span>${p.from ? t('policyFrom', { day: p.from }) : t('policyEver')}</span>
      <span>${p.entered ? t('policyEntered', { at: moment(p.entered) }) : t('policyCarried')}</span>${p.in_force && html`<span class="in-force">${t('inForce')}</span>`}</summary><pre tabindex="0">${p.file}</pre></details>`)}
  </section>`;
}
