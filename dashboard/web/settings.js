// @ts-check
import { html, useState } from './vendor/htm/standalone.mjs';
import { del, me, post, useGet } from './api.js';
import { ChangePassword, Form, grantText, may, problemText } from './account.js';
import { Failed, Reading } from './figure.js';
import { moment, NO_DATA } from './format.js';
import { t, term } from './i18n.js';
import { Policy } from './policy.js';
import { useStore } from './store.js';

const ROLES = ['viewer', 'officer', 'reviewer', 'operator', 'admin'];

/** One's own account and, for an admin, everybody's. */
export function Settings() {
  const who = useStore(me);
  return html`<article class="settings">
    <h1>${t('settings')}</h1>
    <section class="panel" aria-labelledby="own-title"><header><h2 id="own-title">${t('ownAccount')}</h2></header>
      <dl class="facts"><div><dt>${t('accountName')}</dt><dd>${who.name}</dd></div><div><dt>${t('role')}</dt><dd>${grantText(who)}</dd></div></dl>
      ${may(who, 'password') && html`<h3>${t('changePassword')}</h3><${ChangePassword} />`}</section>
    <${Policy} />
    ${may(who, 'accounts') && html`<${Accounts} /><${Tokens} /><${Log} />`}
  </article>`;
}

/**
 * Says a secret, once.
 * @param {{label: string, secret: string, onDone: () => void}} props
 */
const Secret = ({ label, secret, onDone }) => html`<div class="secret" role="status"><p>${label}</p><output>${secret}</output><p class="caption">${t('shownOnce')}</p>
  <button type="button" onClick=${onDone}>${t('noted')}</button></div>`;

/** What decides a role, in a form. @param {{id: string}} props */
function GrantFields({ id }) {
  const [role, setRole] = useState('viewer');
  return html`<label for=${id + '-role'}>${t('role')}</label>
    <select id=${id + '-role'} name="role" value=${role} onChange=${(/** @type {any} */ e) => setRole(e.target.value)}>${ROLES.map((r) => html`<option key=${r} value=${r}>${grantText({ role: r, scope: '', scope_name: '' })}</option>`)}</select>
    ${role !== 'admin' && html`<label for=${id + '-scope'}>${t(role === 'operator' ? 'scopeOperator' : 'scopeDivision')}</label>
      <input id=${id + '-scope'} name="scope" required maxlength="20" inputmode=${role === 'operator' ? 'text' : 'numeric'} placeholder=${role === 'operator' ? 'MA3CLQP01' : '371721'} />`}`;
}

/** @param {any} a of the API */
function stateOf(a) {
  if (a.disabled) return t('stDisabled', { at: moment(a.disabled) });
  if (a.locked_until) return t('stLocked', { at: moment(a.locked_until) });
  if (a.demo) return t('stDemo');
  if (a.issuer) return t('stVouched', { issuer: a.issuer });
  return a.must_change ? t('stMustChange') : t('stActive');
}

/** Everybody who may sign in. */
function Accounts() {
  const { data, error, retry } = useGet('accounts');
  const [secret, setSecret] = useState(/** @type {{label: string, secret: string} | null} */ (null));
  const [failure, setFailure] = useState('');
  const add = async (/** @type {any} */ form) => {
    const { name, full, role, scope } = form.elements;
    const { account, password } = await post('accounts', { name: name.value.trim(), full_name: full.value.trim(), role: role.value, scope: scope ? scope.value.trim() : '' });
    form.reset();
    setSecret({ label: t('passwordOf', { name: account.name }), secret: password });
    retry();
  };
  const act = (/** @type {string} */ name, /** @type {string} */ action) => post(`accounts/${encodeURIComponent(name)}/${action}`).then(({ password }) => {
    setFailure('');
    if (password) setSecret({ label: t('passwordOf', { name }), secret: password });
    retry();
  }, (err) => setFailure(problemText(err)));
  return html`<section class="panel" aria-labelledby="accounts-title"><header><h2 id="accounts-title">${t('accounts')}</h2></header>
    ${secret && html`<${Secret} ...${secret} onDone=${() => setSecret(null)} />`}
    ${failure && html`<p class="failed" role="alert">${failure}</p>`}
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && html`<table class="rows accounts" aria-labelledby="accounts-title"><thead><tr><th scope="col">${t('accountName')}</th><th scope="col">${t('fullName')}</th><th scope="col">${t('role')}</th><th scope="col">${t('state')}</th><th scope="col" class="n">${t('actions')}</th></tr></thead>
      <tbody>${data.accounts.map((/** @type {any} */ a) => html`<tr key=${a.name} data-account=${a.name}><th scope="row">${a.name}</th><td>${a.full_name || NO_DATA}</td><td>${grantText(a)}</td><td>${stateOf(a)}</td>
        <td class="n actions">${!a.issuer && !a.demo && html`<button type="button" class="link" aria-label=${t('resetOf', { name: a.name })} onClick=${() => act(a.name, 'reset')}>${t('reset')}</button>`}
          ${a.disabled ? html`<button type="button" class="link" aria-label=${t('enableOf', { name: a.name })} onClick=${() => act(a.name, 'enable')}>${t('enable')}</button>`
          : html`<button type="button" class="link" aria-label=${t('disableOf', { name: a.name })} onClick=${() => act(a.name, 'disable')}>${t('disable')}</button>`}</td></tr>`)}</tbody></table>
      ${data.accounts.length === 0 && html`<p class="empty">${t('noAccounts')}</p>`}`}
    <h3>${t('addAccount')}</h3>
    <${Form} class="line" label=${t('add')} send=${add}>
      <label for="add-name">${t('accountName')}</label><input id="add-name" name="name" required pattern="[A-Za-z0-9][A-Za-z0-9._\\-]{1,31}" maxlength="32" autocomplete="off" autocapitalize="none" />
      <label for="add-full">${t('fullName')}</label><input id="add-full" name="full" maxlength="64" autocomplete="off" />
      <${GrantFields} id="add" /><//>
  </section>`;
}

/** What programs sign in with. */
function Tokens() {
  const { data, error, retry } = useGet('tokens');
  const [secret, setSecret] = useState(/** @type {{label: string, secret: string} | null} */ (null));
  const [failure, setFailure] = useState('');
  const add = async (/** @type {any} */ form) => {
    const { label, role, scope, days } = form.elements;
    const { token } = await post('tokens', { name: label.value.trim(), role: role.value, scope: scope ? scope.value.trim() : '', days: Number(days.value) });
    form.reset();
    setSecret({ label: t('tokenIs'), secret: token });
    retry();
  };
  const revoke = (/** @type {number} */ id) => del('tokens/' + id).then(() => { setFailure(''); retry(); }, (err) => setFailure(problemText(err)));
  return html`<section class="panel" aria-labelledby="tokens-title"><header><h2 id="tokens-title">${t('tokens')}</h2><p>${t('tokensNote')}</p></header>
    ${secret && html`<${Secret} ...${secret} onDone=${() => setSecret(null)} />`}
    ${failure && html`<p class="failed" role="alert">${failure}</p>`}
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && data.tokens.length > 0 && html`<table class="rows tokens" aria-labelledby="tokens-title"><thead><tr><th scope="col">${t('tokenFor')}</th><th scope="col">${t('role')}</th><th scope="col">${t('created')}</th><th scope="col">${t('expires')}</th><th scope="col" class="n">${t('actions')}</th></tr></thead>
      <tbody>${data.tokens.map((/** @type {any} */ k) => html`<tr key=${k.id} data-token=${k.id}><th scope="row">${k.name}</th><td>${grantText(k)}</td><td>${moment(k.created)}</td><td>${k.expires ? moment(k.expires) : t('neverEnds')}</td>
        <td class="n actions">${k.revoked ? t('revokedAt', { at: moment(k.revoked) }) : html`<button type="button" class="link" aria-label=${t('revokeOf', { name: k.name })} onClick=${() => revoke(k.id)}>${t('revoke')}</button>`}</td></tr>`)}</tbody></table>`}
    ${data && data.tokens.length === 0 && html`<p class="empty">${t('noTokens')}</p>`}
    <h3>${t('issueToken')}</h3>
    <${Form} class="line" label=${t('issue')} send=${add}>
      <label for="token-label">${t('tokenFor')}</label><input id="token-label" name="label" required maxlength="64" autocomplete="off" />
      <${GrantFields} id="token" />
      <label for="token-days">${t('days0')}</label><input id="token-days" name="days" type="number" min="0" max="3650" required defaultValue="365" /><//>
  </section>`;
}

/** What was done to accounts. */
function Log() {
  const { data, error, retry } = useGet('account-log', { limit: 100 }, 10_000);
  return html`<section class="panel" aria-labelledby="log-title"><header><h2 id="log-title">${t('accountLog')}</h2></header>
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && html`<table class="rows log" aria-labelledby="log-title"><thead><tr><th scope="col">${t('time')}</th><th scope="col">${t('who')}</th><th scope="col">${t('from')}</th><th scope="col">${t('action')}</th><th scope="col">${t('about')}</th><th scope="col">${t('detail')}</th></tr></thead>
      <tbody>${data.notes.map((/** @type {any} */ n) => html`<tr key=${n.id}><th scope="row">${moment(n.at)}</th><td>${n.who || NO_DATA}</td><td>${n.address || NO_DATA}</td><td>${term('act_', n.action)}</td><td>${n.about}</td><td>${n.detail}</td></tr>`)}</tbody></table>`}
  </section>`;
}
