// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { t } from './i18n.js';
import { Shape } from './marks.js';

const DAY = 86_400_000;

/** The first of count days that end with the last one kept, like 2025-11-24. @param {Day[]} days */
export const firstOf = (days, count = 30) => new Date(Date.parse(days[days.length - 1].date) - (count - 1) * DAY).toISOString().slice(0, 10);

/** @typedef {{date: string, state: import('./marks.js').State, not_observed: boolean}} Day */

/**
 * The last days of a township, a mark each; a day that was not kept is left empty.
 * @param {{days: Day[], count?: number, pitch?: number, height?: number}} props
 */
export function DayMarks({ days, count = 30, pitch = 5, height = 13 }) {
  if (!days.length) return html`<span class="caption">${t('noDays')}</span>`;
  const last = Date.parse(days[days.length - 1].date), gap = pitch > 8 ? 2 : 1, room = 5;
  const by = new Map(days.map((d) => [d.date, d]));
  const effective = days.filter((d) => d.state === 'effective').length;
  return html`<svg class="day-marks" width=${count * pitch} height=${height + room} viewBox=${`0 0 ${count * pitch} ${height + room}`} role="img" aria-label=${t('daysSaid', { n: effective, of: days.length })}>
    ${Array.from({ length: count }, (_, i) => {
      const date = new Date(last - (count - 1 - i) * DAY).toISOString().slice(0, 10), day = by.get(date);
      return day && html`<g key=${date} data-day=${date} data-state=${day.state}><title>${date} ${t(day.state)}${day.not_observed ? ` · ${t('notObserved')}` : ''}</title>
        <${Shape} state=${day.state} x=${i * pitch} y=${room} w=${pitch - gap} h=${height} />
        ${day.not_observed && html`<circle class="dot" cx=${i * pitch + (pitch - gap) / 2} cy="2" r="1.5" />`}</g>`;
    })}</svg>`;
}
