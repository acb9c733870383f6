// @ts-check
import { lang, t } from './i18n.js';

export const NO_DATA = '–'; // never 0

/** @type {Map<string, Intl.NumberFormat>} */
const numberFormats = new Map();

/**
 * A number grouped by thousands, with at most so many decimals; null is no data.
 * @param {number | null | undefined} n
 * @param {number} [decimals]
 */
export function num(n, decimals = 0) {
  if (n === null || n === undefined || Number.isNaN(n)) return NO_DATA;
  const key = lang.value + decimals;
  let format = numberFormats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(lang.value === 'zh' ? 'zh-CN' : 'en-GB', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    numberFormats.set(key, format);
  }
  return format.format(n).replace('-', '−');
}

/**
 * A share in percent. All but one is never 100, and one is never 0.
 * @param {number | undefined} part
 * @param {number | undefined} whole
 * @param {number} [decimals]
 */
export function percent(part, whole, decimals = 1) {
  if (part === undefined || !whole) return NO_DATA;
  const step = 10 ** -decimals;
  let share = part / whole * 100;
  if (part > 0 && part < whole) share = Math.min(Math.max(share, step), 100 - step);
  return num(share, decimals) + '%';
}

const ZONE = 'Asia/Shanghai';
const clockFormat = new Intl.DateTimeFormat('en-GB', { timeZone: ZONE, hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const dayFormat = new Intl.DateTimeFormat('en-CA', { timeZone: ZONE, year: 'numeric', month: '2-digit', day: '2-digit' });
const dateFormats = {
  zh: new Intl.DateTimeFormat('zh-CN', { timeZone: ZONE, month: 'long', day: 'numeric', weekday: 'short' }),
  en: new Intl.DateTimeFormat('en-GB', { timeZone: ZONE, weekday: 'short', day: 'numeric', month: 'short' }),
};

/** 14:07:32 @param {number} ms */
export const clock = (ms) => clockFormat.format(ms);

/** 14:07 @param {string} time */
export const minute = (time) => clock(Date.parse(time)).slice(0, 5);

/** 2025-11-24 @param {number} ms */
export const day = (ms) => dayFormat.format(ms);

/** 11月24日 周一 14:07:32 @param {number} ms */
export function dateAndClock(ms) {
  const date = dateFormats[lang.value].format(ms).replace(/(日)(?=\S)/, '$1 ').replace(',', '');
  return date + ' ' + clock(ms);
}

/**
 * 11-24 14:07, with the year when it is not this one.
 * @param {string | null | undefined} time
 */
export function moment(time) {
  if (!time) return NO_DATA;
  const at = Date.parse(time);
  const date = day(at);
  return (date.slice(0, 4) === day(Date.now()).slice(0, 4) ? date.slice(5) : date) + ' ' + clock(at).slice(0, 5);
}

/**
 * How long, in the largest unit that fits: 12 天.
 * @param {number} ms
 */
export function span(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 60) return t('seconds', { n: num(Math.floor(s)) });
  if (s < 3600) return t('minutes', { n: num(Math.floor(s / 60)) });
  if (s < 48 * 3600) return t('hours', { n: num(Math.floor(s / 3600)) });
  return t('days', { n: num(Math.floor(s / 86400)) });
}

/** @param {string | null | undefined} time */
export const age = (time) => time ? span(Date.now() - Date.parse(time)) : NO_DATA;

/** The pile's own number of {operator}:{pile}. @param {string} id */
export const pileNumber = (id) => id.slice(id.indexOf(':') + 1);

/**
 * A station's name without the county's and town's before it, where the place stands beside it: 曹县庄寨镇卫生院充电站 is
 * 卫生院充电站. What would only say that it is a station stays whole.
 * @param {string} station @param {string[]} places from the larger to the smaller
 */
export function withoutPlace(station, ...places) {
  const rest = places.reduce((name, place) => place && name.startsWith(place) ? name.slice(place.length) : name, station);
  return /^(充电)?站?$/.test(rest) ? station : rest;
}
