// @ts-check
import { html, useState } from './vendor/htm/standalone.mjs';
import { Form, may, problemText } from './account.js';
import { me, post, useGet } from './api.js';
import { Failed, Reading, Segments, Unit } from './figure.js';
import { moment, NO_DATA, num } from './format.js';
import { t, term, Zh } from './i18n.js';
import { pileHref, route, setQuery } from './route.js';
import { useStore } from './store.js';
import { SubNav } from './subnav.js';

const STATES = ['', 'claimed', 'granted', 'refused'];
const KINDS = ['maintenance', 'power_cut', 'site'];

/** Of what an excuse is. @param {any} e */
function Of({ e }) {
  if (e.pile) return html`<a href=${pileHref(e.pile)}>${e.pile}</a>`;
  return html`<${Zh}>${e.operator ? e.operator_name || e.operator : e.place || e.division}<//>`;
}

/** Grants or refuses, with a reason. @param {{e: any, onDone: () => void}} props */
function Decide({ e, onDone }) {
  const [asks, setAsks] = useState('');
  if (!asks) return html`<button type="button" class="link" onClick=${() => setAsks('grant')}>${t('grant')}</button> <button type="button" class="link" onClick=${() => setAsks('refuse')}>${t('refuse')}</button>`;
  const send = async (/** @type {any} */ form) => {
    await post(`excuses/${e.id}/${asks}`, { why: form.elements.why.value.trim() });
    onDone();
  };
  return html`<${Form} class="line decide" label=${t(asks === 'grant' ? 'grant' : 'refuse')} send=${send}>
    <label for=${'why-' + e.id}>${t('why')}</label><input id=${'why-' + e.id} name="why" required maxlength="500" autocomplete="off" />
    <button type="button" class="link" onClick=${() => setAsks('')}>${t('cancel')}</button><//>`;
}

/** @param {string} local of an input, in Asia/Shanghai */
const atShanghai = (local) => local + ':00+08:00';

/** A claim for one's own piles, or for what lies in one's scope. @param {{onDone: () => void}} props */
function Claim({ onDone }) {
  const who = useStore(me);
  const own = who && who.role === 'operator';
  const [kind, setKind] = useState('maintenance');
  const [refused, setRefused] = useState('');
  const send = async (/** @type {any} */ form) => {
    const { of, from, until, cause, document: paper } = form.elements;
    const what = of.value.trim();
    const subject = !what ? { operator: who && who.scope } : what.includes(':') ? { pile: what } : own ? { pile: `${who && who.scope}:${what}` } : /^\d{2,9}$/.test(what) ? { division: what } : { operator: what };
    const kept = await post('excuses', { kind, ...subject, from: atShanghai(from.value), until: atShanghai(until.value), cause: cause ? cause.value.trim() : '', document: paper.value.trim() });
    setRefused(kept.state === 'refused' ? kept.judge : '');
    form.reset();
    onDone();
  };
  return html`<section class="panel" aria-labelledby="claim-title"><header><h2 id="claim-title">${t('claim')}</h2><p>${t('claimNote')}</p></header>
    ${refused && html`<p class="failed" role="alert">${t('claimRefused', { rule: term('rule_', refused) })}</p>`}
    <${Form} class="line" label=${t('claimSend')} send=${send} done=${refused ? '' : t('claimSent')}>
      <label for="claim-kind">${t('kind')}</label><select id="claim-kind" value=${kind} onChange=${(/** @type {any} */ e) => setKind(e.target.value)}>${KINDS.map((k) => html`<option key=${k} value=${k}>${term('exc_', k)}</option>`)}</select>
      <label for="claim-of">${t(own ? 'claimPile' : 'claimOf')}</label><input id="claim-of" name="of" required=${!own} maxlength="100" placeholder=${own ? t('claimAll') : 'MA3CLQP01:P1'} autocomplete="off" />
      <label for="claim-from">${t('begins')}</label><input id="claim-from" name="from" type="datetime-local" required />
      <label for="claim-until">${t('ends')}</label><input id="claim-until" name="until" type="datetime-local" required />
      ${kind === 'power_cut' && html`<label for="claim-cause">${t('cause')}</label><input id="claim-cause" name="cause" required maxlength="100" autocomplete="off" />`}
      <label for="claim-document">${t('document')}</label><input id="claim-document" name="document" required=${kind === 'site'} maxlength="200" autocomplete="off" /><//>
  </section>`;
}

/** Excused time: what is claimed, granted and refused. */
export function Excuses() {
  const who = useStore(me), { query } = useStore(route);
  const { data, error, retry } = useGet('excuses', { state: query.state, limit: 500 }, 30_000);
  return html`<${SubNav} part="excuses" /><section class="panel list" aria-labelledby="excuses-title">
    <header><h1 id="excuses-title">${t('excuses')}</h1>${data && html`<p>${t('excusesNote', { n: num(data.maintenance_hours_a_year) })}</p>`}</header>
    <div class="controls"><${Segments} label=${t('state')} value=${query.state || ''} choices=${STATES.map((value) => ({ value, name: value ? term('exs_', value) : t('all') }))} onChoose=${(/** @type {string} */ state) => setQuery({ state })} /></div>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !data.excuses.length && html`<p class="empty">${t('noExcuses')}</p>`}
    ${data && data.excuses.length > 0 && html`<table class="rows ledger excuses" aria-labelledby="excuses-title"><thead><tr><th scope="col">${t('excuseOf')}</th><th scope="col">${t('kind')}</th><th scope="col">${t('state')}</th><th scope="col">${t('begins')}</th><th scope="col">${t('ends')}</th><th scope="col" class="n">${t('lasts')}</th><th scope="col">${t('causeOrDocument')}</th><th scope="col">${t('claimedBy')}</th><th scope="col">${t('decision')}</th></tr></thead>
      <tbody>${data.excuses.map((/** @type {any} */ e) => html`<tr key=${e.id} data-excuse=${e.id}><th scope="row"><${Of} e=${e} /></th><td>${term('exc_', e.kind)}</td><td class="main state">${term('exs_', e.state)}</td><td class="sub">${moment(e.from)}</td><td class="sub">${moment(e.until)}</td>
        <td class="n">${num(e.hours, 1)}<${Unit}>h<//>${e.over_hours > 0 && html`<span class="over">${t('overLimit', { n: num(e.over_hours, 1) })}</span>`}</td>
        <td class="quiet">${[e.cause, e.document].filter(Boolean).join(' · ') || NO_DATA}</td><td class="quiet">${e.by || NO_DATA}<br />${moment(e.entered)}</td>
        <td class="sub wide-cell">${e.may_decide ? html`<${Decide} e=${e} onDone=${retry} />` : e.judge ? html`${e.judge.startsWith('rule: ') ? term('rule_', e.judge) : e.judge} · ${moment(e.decided)}${e.why && html`<br /><span class="quiet">${e.why}</span>`}` : t('waits')}</td></tr>`)}</tbody></table>`}
    ${data && data.more && html`<p class="footnote">${t('moreExcuses')}</p>`}
  </section>
  ${may(who, 'claims') && html`<${Claim} onDone=${retry} />`}`;
}

/** @param {any} c @param {string} value */
const valueText = (c, value) => value === '' ? NO_DATA : c.field === 'kind' ? term('tier_', value) : c.field === 'area' ? term('area_', value) : value;

/** What imports ask for and an officer must confirm. */
export function Confirmations() {
  const { data, error, retry } = useGet('confirmations', {}, 30_000);
  const [failure, setFailure] = useState('');
  const decide = (/** @type {number} */ id, /** @type {string} */ what) => post(`confirmations/${id}/${what}`).then(() => { setFailure(''); retry(); }, (err) => setFailure(problemText(err)));
  return html`<${SubNav} part="confirmations" /><section class="panel list" aria-labelledby="confirmations-title">
    <header><h1 id="confirmations-title">${t('confirmations')}</h1><p>${t('confirmationsNote')}</p></header>
    ${failure && html`<p class="failed" role="alert">${failure}</p>`}
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !data.confirmations.length && html`<p class="empty">${t('noConfirmations')}</p>`}
    ${data && data.confirmations.length > 0 && html`<table class="rows ledger confirmations" aria-labelledby="confirmations-title"><thead><tr><th scope="col">${t('excuseOf')}</th><th scope="col">${t('operator')}</th><th scope="col">${t('township')}</th><th scope="col">${t('field')}</th><th scope="col">${t('was')}</th><th scope="col">${t('asksFor')}</th><th scope="col">${t('claimedBy')}</th><th scope="col" class="n">${t('actions')}</th></tr></thead>
      <tbody>${data.confirmations.map((/** @type {any} */ c) => html`<tr key=${c.id} data-confirmation=${c.id}><th scope="row">${c.pile ? html`<a href=${pileHref(c.pile)}>${c.pile}${c.connector && `:${c.connector}`}</a>` : c.station}</th><td class="quiet"><${Zh}>${c.operator_name || c.operator}<//></td><td><${Zh}>${c.place || NO_DATA}<//></td>
        <td class="main">${term('col_', c.field)}</td><td class="sub">${valueText(c, c.before)}</td><td class="sub"><span aria-hidden="true">→ </span><b>${valueText(c, c.value)}</b></td><td class="quiet">${moment(c.entered)}</td>
        <td class="n actions sub wide-cell"><button type="button" class="link" aria-label=${t('acceptOf', { id: c.id })} onClick=${() => decide(c.id, 'accept')}>${t('accept')}</button><button type="button" class="link" aria-label=${t('refuseOf', { id: c.id })} onClick=${() => decide(c.id, 'refuse')}>${t('refuse')}</button></td></tr>`)}</tbody></table>`}
  </section>`;
}
