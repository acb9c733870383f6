// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { lang, t } from './i18n.js';
import { useStore } from './store.js';

/**
 * Links to files for spreadsheets.
 * @param {{table: string, params: Record<string, string>}} props params as the API takes them; those that are empty are left out
 */
export function ExportLinks({ table, params }) {
  const query = new URLSearchParams([...Object.entries(params).filter(([, v]) => v), ['lang', useStore(lang)]]);
  return html`<p class="exports">${t('export')} ${['xlsx', 'csv'].map((format) => html`<a key=${format} href=${`/api/v1/export/${table}.${format}?${query}`} download aria-label=${t('exportAs', { format: format.toUpperCase() })}>${format.toUpperCase()}</a> `)}</p>`;
}
