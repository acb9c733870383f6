// @ts-check
import { num } from './format.js';
import { t } from './i18n.js';

/** @type {Record<string, import('./i18n.js').Word>} */
const words = {
  never_connected: 'reasonNever', all_fault: 'reasonFault', all_offline: 'reasonOffline', all_silent: 'reasonSilent', mixed: 'reasonMixed', opened_recently: 'reasonOpened',
};

/**
 * Why a township counts as it does, in words: 2 站 6 枪，全部离线.
 * @param {import('./townships.js').Township} row
 */
export function reasonText(row) {
  if (row.reason === 'no_station') return t('noStation');
  let why = Object.hasOwn(words, row.reason) ? t(words[row.reason]) : row.reason;
  if (row.reason === 'usable') why = row.usable ? t('reasonUsable', { n: num(row.usable) }) : t('reasonWasUsable');
  const text = t('stationsConnectors', { stations: num(row.stations), connectors: num(row.connectors) }) + t('listJoin') + why;
  return row.not_observed ? text + t('listJoin') + t('notObserved') : text;
}
