// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { may } from './account.js';
import { me } from './api.js';
import { t } from './i18n.js';
import { href } from './route.js';
import { useStore } from './store.js';

/** Pages that stand together under one entry of the bar, and what each needs. */
const groups = /** @type {const} */ ({
  cases: [{ part: 'cases', needs: '' }, { part: 'inspections', needs: 'decisions' }],
  operators: [{ part: 'operators', needs: '' }, { part: 'excuses', needs: 'excuses' }, { part: 'confirmations', needs: 'decisions' }],
  quality: [{ part: 'quality', needs: 'records' }, { part: 'rejects', needs: 'records' }, { part: 'unknown', needs: 'records' }],
});

/** The entry of the bar under which a page stands. @param {string} part */
export const groupOf = (part) => Object.entries(groups).find(([, pages]) => pages.some((p) => p.part === part))?.[0] ?? part;

/**
 * Links to the pages beside this one; nothing where there is only this one.
 * @param {{part: string}} props
 */
export function SubNav({ part }) {
  const who = useStore(me);
  const pages = groups[/** @type {keyof typeof groups} */ (groupOf(part))].filter((p) => !p.needs || may(who, p.needs));
  if (pages.length < 2) return null;
  return html`<nav class="subnav" aria-label=${t('pagesBeside')}>${pages.map((p) => html`<a key=${p.part} href=${href([p.part])} aria-current=${p.part === part ? 'page' : undefined}>${t(p.part)}</a>`)}</nav>`;
}
