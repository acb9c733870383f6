// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { useGet } from './api.js';
import { Failed, Reading, Segments } from './figure.js';
import { moment, NO_DATA, num } from './format.js';
import { t, term } from './i18n.js';
import { pileHref, route, setQuery } from './route.js';
import { useStore } from './store.js';
import { SubNav } from './subnav.js';

const REFRESH = 3_000; // there is no topic for them
const SHOWN = 200;

/** Connections to operators' own brokers; nothing where there are none. */
function Bridges() {
  const { data } = useGet('bridges', {}, REFRESH);
  if (!data || !data.bridges.length) return null;
  const state = (/** @type {any} */ b) => t(b.stale ? 'bridgeStale' : b.ending ? 'bridgeEnding' : b.up ? 'bridgeUp' : 'bridgeDown', { since: moment(b.stale ? b.heard : b.since) });
  return html`<section class="panel list" aria-labelledby="bridges-title">
    <header><h2 id="bridges-title">${t('bridges')}</h2><p>${t('bridgesNote')}</p></header>
    <table class="rows rejects" aria-labelledby="bridges-title"><thead><tr>
      <th scope="col">${t('bridge')}</th><th scope="col">${t('bridgeState')}</th><th scope="col">${t('operator')}</th><th scope="col">${t('detail')}</th><th scope="col" class="n">${t('bridgeMessages')}</th><th scope="col" class="n">${t('bridgeWaiting')}</th></tr></thead>
      <tbody>${data.bridges.map((/** @type {any} */ b) => html`<tr key=${b.gateway + b.bridge + b.broker}>
        <th scope="row">${b.bridge}</th><td class="state">${state(b)}</td><td class="operator">${b.operator}</td>
        <td class="reason">${b.broker}${b.error && html`<code>${moment(b.failed)} ${b.error}</code>`}</td>
        <td class="n">${num(b.messages)}</td><td class="n">${num(b.waiting)}</td>
      </tr>`)}</tbody></table>
  </section>`;
}

/** Messages that could not be used, the newest first. */
export function Rejects() {
  const { query } = useStore(route);
  const { data, error, retry } = useGet('rejects', { reason: query.reason, operator: query.operator, limit: SHOWN }, REFRESH);
  const totals = Object.entries(data ? data.totals : {}).sort(([, a], [, b]) => b - a);
  const sum = totals.reduce((n, [, count]) => n + count, 0);
  const samples = data && data.rejects.some((/** @type {any} */ r) => r.sample);
  const choices = [{ value: '', name: t('anyReason', { n: num(sum) }) }, ...totals.map(([value, count]) => ({ value, name: `${term('rej_', value)} ${num(count)}` }))];
  const submit = (/** @type {any} */ e) => {
    e.preventDefault();
    setQuery({ operator: e.target.elements.operator.value.trim() });
  };
  return html`<${SubNav} part="rejects" /><${Bridges} /><section class="panel list" aria-labelledby="rejects-title">
    <header><h1 id="rejects-title">${t('rejects')}</h1><p>${t('rejectsNote')}</p></header>
    <div class="controls">
      <${Segments} label=${t('reason')} value=${query.reason || ''} choices=${choices} onChoose=${(/** @type {string} */ reason) => setQuery({ reason })} />
      <form role="search" onSubmit=${submit}>
        <input type="search" name="operator" maxlength="20" aria-label=${t('anyOperator')} placeholder=${t('anyOperator')} defaultValue=${query.operator || ''} key=${query.operator} /><button type="submit">${t('searchGo')}</button></form>
    </div>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !data.rejects.length && html`<p class="empty">${t('noRejects')}</p>`}
    ${data && data.rejects.length > 0 && html`<table class="rows rejects" aria-label=${t('rejects')}><thead><tr>
      <th scope="col">${t('time')}</th><th scope="col">${t('reason')}</th><th scope="col">${t('operator')}</th><th scope="col">${t('pile')}</th><th scope="col">${t('detail')}</th><th scope="col" class="n">${t('count')}</th></tr></thead>
      <tbody>${data.rejects.map((/** @type {any} */ r) => html`<tr key=${r.at + r.operator + r.pile + r.reason}>
        <th scope="row">${moment(r.at)}</th><td class="state">${term('rej_', r.reason)}</td><td class="operator">${r.operator || NO_DATA}</td>
        <td class="pile">${r.pile && r.reason !== 'unknown_pile' ? html`<a href=${pileHref(`${r.operator}:${r.pile}`)}>${r.pile}</a>` : r.pile || NO_DATA}</td>
        <td class="reason">${r.detail}${samples && r.sample && html`<code>${r.sample}</code>`}</td><td class="n">${num(r.count)}</td>
      </tr>`)}</tbody></table>`}
  </section>`;
}
