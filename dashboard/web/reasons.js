// @ts-check
import { num } from './format.js';
import { t } from './i18n.js';

/** @type {Record<string, import('./i18n.js').Word>} */
const words = {
  never_connected: 'reasonNever', not_observed: 'reasonUnseen', opened_recently: 'reasonOpened', all_fault: 'reasonFault', all_offline: 'reasonOffline',
  all_silent: 'reasonSilent', all_blocked: 'reasonBlocked', all_lapsed: 'reasonLapsed', too_short: 'reasonShort', mixed: 'reasonMixed',
};

/** Why there is no station that counts. @type {Record<string, import('./i18n.js').Word>} */
const shut = {
  no_station: 'noStation', closed_season: 'reasonSeason', closed_hours: 'reasonHours', mobile: 'reasonMobile', limited_access: 'reasonLimited',
};

/** A reason by itself, for a list of reasons. @param {string} reason */
export const reasonWord = (reason) => reason === 'usable' ? t('reasonUsableAny') : Object.hasOwn(shut, reason) ? t(shut[reason]) : Object.hasOwn(words, reason) ? t(words[reason]) : reason;

/**
 * Why a township counts as it does, in words: 2 站 6 枪，全部离线.
 * @param {import('./townships.js').Township} row
 */
export function reasonText(row) {
  if (Object.hasOwn(shut, row.reason)) return t(shut[row.reason]);
  let why = Object.hasOwn(words, row.reason) ? t(words[row.reason]) : row.reason;
  if (row.reason === 'usable') why = row.usable ? t('reasonUsable', { n: num(row.usable) }) : t('reasonWasUsable');
  const text = t('stationsConnectors', { stations: num(row.stations), connectors: num(row.connectors) }) + t('listJoin') + why;
  return row.not_observed ? text + t('listJoin') + t('notObserved') : text;
}
