// @ts-check
import { html, useState } from './vendor/htm/standalone.mjs';
import { me, signIn } from './api.js';
import { t } from './i18n.js';
import { go, href, route } from './route.js';
import { useStore } from './store.js';

/** Asks for the token; where the platform is not public, before anything else. */
export function SignIn() {
  const who = useStore(me);
  const [failure, setFailure] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async (/** @type {any} */ e) => {
    e.preventDefault();
    setBusy(true);
    try {
      await signIn(e.target.elements.token.value.trim());
      if (route.value.parts[0] === 'signin') go(href([]));
    } catch (err) {
      const { status, message } = /** @type {import('./api.js').Problem} */ (err);
      setFailure(t('signInFailed', { title: status ? message : t('noAnswer') }));
    } finally {
      setBusy(false);
    }
  };
  return html`<section class="sign-in" aria-labelledby="signin-title">
    <h1 id="signin-title">${t('signIn')}</h1>
    <p>${t(who && who.public ? 'signInMore' : 'signInWhy')}</p>
    <form onSubmit=${submit}>
      <label for="token">${t('token')}</label>
      <input id="token" name="token" type="password" autocomplete="current-password" required aria-describedby="token-hint" />
      <p id="token-hint" class="caption">${t('tokenHint')}</p>
      ${failure && html`<p class="failed" role="alert">${failure}</p>`}
      <button type="submit" class="filled" disabled=${busy}>${t('signIn')}</button>
    </form>
  </section>`;
}
