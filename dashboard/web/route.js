// @ts-check
import { Store } from './store.js';

/**
 * Where the page is: #/coverage/371721?state=failing is parts ['coverage', '371721'], query {state: 'failing'}.
 * @typedef {{parts: string[], query: Record<string, string>}} Route
 */

/** @returns {Route} */
function read() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part; // a stranger's link with a broken escape
    }
  });
  return { parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

export const route = new Store(read());
addEventListener('hashchange', () => route.set(read()));

/**
 * The address of a place in the page.
 * @param {string[]} parts
 * @param {Record<string, string>} [query] those that are empty are left out
 */
export function href(parts, query = {}) {
  const given = Object.entries(query).filter(([, v]) => v);
  return '#/' + parts.map((p) => encodeURIComponent(p).replace(/%3A/g, ':')).join('/') + (given.length ? '?' + new URLSearchParams(given) : '');
}

/** @param {string} address of href() */
export function go(address) {
  location.hash = address;
}

/**
 * Changes what the present address asks for, without a step in the history.
 * @param {Record<string, string>} change
 */
export function setQuery(change) {
  const { parts, query } = read(); // the route is told of a new address a moment after
  history.replaceState(null, '', href(parts, { ...query, ...change }));
  route.set(read());
}

/** @param {string} code of a division */
export const divisionHref = (code, query = {}) => href(['coverage', code], query);

/** @param {string} id of a pile, {operator}:{pile} */
export const pileHref = (id) => href(['pile', id]);

/** @param {string} id of a station, {operator}:{station} */
export const stationHref = (id) => href(['station', id]);
