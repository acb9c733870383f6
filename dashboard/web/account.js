// @ts-check
import { html, useState } from './vendor/htm/standalone.mjs';
import { me, post, signOut } from './api.js';
import { t, Zh } from './i18n.js';
import { href } from './route.js';
import { useStore } from './store.js';

/** @typedef {import('./api.js').Problem} Problem */

/** Whether nobody has signed in. @param {any} who */
export const isStranger = (who) => !who || !who.role || who.role === 'public';

/** Whether the viewer may do what a page is for; the server decides, and says so in advance. @param {any} who @param {string} what */
export const may = (who, what) => Boolean(who && who.may && who.may.includes(what));

/** @type {Record<string, import('./i18n.js').Word>} */
const roleWords = { viewer: 'roleViewer', officer: 'roleOfficer', reviewer: 'roleReviewer', operator: 'roleOperator', admin: 'roleAdmin' };

/** A role with what it is for. @param {{role: string, scope: string, scope_name: string}} of */
export const grantText = ({ role, scope, scope_name: name }) => t(roleWords[role]) + (scope ? ` · ${name || scope}` : '');

/** What went wrong, for people. @param {Problem} err */
export const problemText = (err) => err.status === 0 ? t('noAnswer') : err.status === 429 ? t('tooOften') : err.detail || err.message;

/** Who has signed in, in the bar. */
export function Account() {
  const who = useStore(me);
  if (!who) return null;
  if (isStranger(who)) return who.role ? html`<a href=${href(['signin'])}>${t('signIn')}</a>` : null;
  return html`<a class="who" href=${href(['settings'])} title=${`${who.full_name || who.name} · ${grantText(who)}`}>${/[\u4e00-\u9fff]/.test(who.full_name) ? html`<${Zh}>${who.full_name}<//>` : who.full_name || who.name}</a>
    <button type="button" class="plain" onClick=${() => signOut().catch(() => {})}>${t('signOut')}</button>`;
}

/** Says for as long as somebody has signed in with an account of the demo that it is one. */
export function DemoBar() {
  const who = useStore(me);
  return who && who.demo ? html`<p class="cut-bar demo-bar">${t('demoBar', { role: grantText(who) })}</p>` : null;
}

/**
 * A form that sends one thing and says how that went.
 * @param {{label: string, send: (form: any) => Promise<any>, done?: string, children?: any, class?: string}} props
 */
export function Form({ label, send, done = '', children, class: kind = '' }) {
  const [state, setState] = useState({ busy: false, failure: '', done: false });
  const submit = async (/** @type {any} */ e) => {
    e.preventDefault();
    const form = e.target;
    setState({ busy: true, failure: '', done: false });
    try {
      await send(form);
      setState({ busy: false, failure: '', done: true });
    } catch (err) {
      setState({ busy: false, failure: problemText(/** @type {Problem} */ (err)), done: false });
    }
  };
  return html`<form class=${kind} onSubmit=${submit}>${children}
    ${state.failure && html`<p class="failed" role="alert">${state.failure}</p>`}
    ${state.done && done && html`<p role="status">${done}</p>`}
    <button type="submit" class="filled" disabled=${state.busy}>${label}</button></form>`;
}

/** Changes one's own password. @param {{first?: boolean}} props first: before anything else */
export function ChangePassword({ first = false }) {
  const [unlike, setUnlike] = useState(false);
  const send = async (/** @type {any} */ form) => {
    const { old, chosen, again } = form.elements;
    setUnlike(chosen.value !== again.value);
    if (chosen.value !== again.value) {
      again.focus();
      return;
    }
    const now = await post('password', { old: old.value, new: chosen.value });
    form.reset();
    me.set(now);
  };
  return html`<${Form} class="stack" label=${t('changePassword')} send=${send} done=${!unlike && !first ? t('passwordChanged') : ''}>
    <label for="old">${t(first ? 'givenPassword' : 'oldPassword')}</label><input id="old" name="old" type="password" autocomplete="current-password" required />
    <label for="chosen">${t('newPassword')}</label><input id="chosen" name="chosen" type="password" autocomplete="new-password" required minlength="12" maxlength="128" aria-describedby="password-hint" />
    <p id="password-hint" class="caption">${t('passwordHint')}</p>
    <label for="again">${t('newPasswordAgain')}</label><input id="again" name="again" type="password" autocomplete="new-password" required aria-invalid=${unlike} aria-describedby=${unlike ? 'unlike' : undefined} />
    ${unlike && html`<p id="unlike" class="failed" role="alert">${t('passwordsDiffer')}</p>`}
  <//>`;
}

/** Stands before every page until a password that somebody else has given is changed. */
export const FirstPassword = () => html`<section class="sign-in" aria-labelledby="first-title">
  <h1 id="first-title">${t('firstPassword')}</h1><p>${t('firstPasswordWhy')}</p><${ChangePassword} first /></section>`;
