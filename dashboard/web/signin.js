// @ts-check
import { html, useState } from './vendor/htm/standalone.mjs';
import { me, signIn, useGet } from './api.js';
import { Form, grantText, problemText } from './account.js';
import { t } from './i18n.js';
import { go, href, route } from './route.js';
import { useStores } from './store.js';

/** Asks who one is; where the platform is not public, before anything else. */
export function SignIn() {
  const [who, { query }] = useStores([me, route]);
  const { data: ways } = useGet('session');
  const [byToken, setByToken] = useState(false);
  const [failure, setFailure] = useState('');
  const enter = async (/** @type {object} */ what) => {
    await signIn(what);
    if (route.value.parts[0] === 'signin') go(href([]));
  };
  const click = (/** @type {string} */ demo) => enter({ demo }).catch((err) => setFailure(problemText(err)));
  const send = (/** @type {any} */ { elements: { name, password, token } }) => enter(token ? { token: token.value.trim() } : { name: name.value.trim(), password: password.value });
  return html`<section class="sign-in" aria-labelledby="signin-title">
    <h1 id="signin-title">${t('signIn')}</h1>
    <p>${t(who && who.public ? 'signInMore' : 'signInWhy')}</p>
    ${query.failed && html`<p class="failed" role="alert">${t('providerRefused')}</p>`}
    ${ways && ways.demo.length > 0 && html`<section class="demo" aria-labelledby="demo-title"><h2 id="demo-title">${t('demoTitle')}</h2><p class="caption">${t('demoNote')}</p>
      <ul>${ways.demo.map((/** @type {any} */ a) => html`<li key=${a.name}><button type="button" data-demo=${a.name} onClick=${() => click(a.name)}>${grantText(a)}</button></li>`)}</ul>
      ${failure && html`<p class="failed" role="alert">${failure}</p>`}</section>`}
    ${ways && ways.provider !== null && html`<a class="provider" href=${ways.start}>${t('signInBy', { name: ways.provider })}</a>`}
    <${Form} key=${byToken} class="stack" label=${t('signIn')} send=${send}>
      ${byToken ? html`<label for="token">${t('token')}</label><input id="token" name="token" type="password" autocomplete="off" required aria-describedby="token-hint" /><p id="token-hint" class="caption">${t('tokenHint')}</p>`
      : html`<label for="name">${t('accountName')}</label><input id="name" name="name" autocomplete="username" autocapitalize="none" spellcheck=${false} required maxlength="64" />
        <label for="password">${t('password')}</label><input id="password" name="password" type="password" autocomplete="current-password" required />`}
    <//>
    <p><button type="button" class="link" onClick=${() => setByToken(!byToken)}>${t(byToken ? 'byPassword' : 'byToken')}</button></p>
  </section>`;
}
