// @ts-check
import { useEffect, useState } from './vendor/htm/standalone.mjs';
import { Store } from './store.js';

/** A problem document (RFC 9457), or a failure to get any answer (status 0). */
export class Problem extends Error {
  /** @param {number} status @param {string} title @param {string} [detail] */
  constructor(status, title, detail = '') {
    super(title);
    this.status = status;
    this.detail = detail;
  }
}

/**
 * Who looks at the page; null until the server has said. role is '' while it wants a sign-in.
 * @type {Store<{role: string, name: string, full_name: string, scope: string, scope_name: string, home: string, may: string[],
 *   must_change: boolean, demo: boolean, public: boolean, policy_document: string, build: string,
 *   story: {name: string, percent: number} | null} | null>}
 */
export const me = new Store(/** @type {any} */ (null));

/**
 * @param {string} method
 * @param {string} path below /api/v1/
 * @param {object} [body]
 * @param {AbortSignal} [signal]
 */
async function ask(method, path, body, signal) {
  let answer;
  try {
    answer = await fetch('/api/v1/' + path, {
      method, signal, credentials: 'same-origin', cache: 'no-store',
      headers: body ? { 'Content-Type': 'application/json' } : {},
      body: body && JSON.stringify(body),
    });
  } catch (err) {
    if (signal && signal.aborted) throw err;
    throw new Problem(0, '');
  }
  if (answer.status === 204) return null;
  const told = await answer.json().catch((err) => {
    if (signal && signal.aborted) throw err;
    if (answer.ok) throw new Problem(0, ''); // cut off in the middle
    return {};
  });
  if (answer.ok) return told;
  if (answer.status === 401 && path !== 'session' || answer.status === 403) whoAmI().catch(() => {}); // somebody else than was thought
  throw new Problem(answer.status, told.title || String(answer.status), told.detail || '');
}

/**
 * @param {string} path
 * @param {Record<string, string | number | undefined>} [params] those that are empty are left out
 * @param {AbortSignal} [signal]
 */
export function get(path, params = {}, signal) {
  const given = Object.entries(params).filter(([, v]) => v !== undefined && v !== '');
  const query = new URLSearchParams(given.map(([k, v]) => [k, String(v)])).toString();
  return ask('GET', query ? path + '?' + query : path, undefined, signal);
}

export async function whoAmI() {
  me.set(await ask('GET', 'me'));
}

/** @param {string} path @param {object} [body] */
export const post = (path, body) => ask('POST', path, body);

/** @param {string} path */
export const del = (path) => ask('DELETE', path);

/** @param {object} what name and password, the token, or an account of the demo */
export async function signIn(what) {
  me.set(await ask('POST', 'session', what));
}

export async function signOut() {
  me.set(await ask('DELETE', 'session'));
}

/**
 * Gets path and follows its parameters; what there was stays until the new answer is in. every (in
 * ms) asks again in between.
 * @param {string | null} path null asks nothing
 * @param {Record<string, string | number | undefined>} [params]
 * @param {number} [every]
 * @returns {{data: any, error: Problem | null, retry: () => void}}
 */
export function useGet(path, params = {}, every = 0) {
  const [got, setGot] = useState(/** @type {{key: string, data: any, error: Problem | null}} */ ({ key: '', data: null, error: null }));
  const [turn, setTurn] = useState(0);
  const key = path === null ? '' : path + JSON.stringify(params);
  useEffect(() => {
    if (path === null) return undefined;
    const stop = new AbortController();
    let timer = 0;
    const run = () => get(path, params, stop.signal)
      .then((data) => { if (!stop.signal.aborted) setGot({ key, data, error: null }); })
      .catch((error) => { if (!stop.signal.aborted) setGot((g) => ({ key, data: g.key === key ? g.data : null, error })); })
      .finally(() => { if (every && !stop.signal.aborted) timer = setTimeout(run, every); });
    run();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [key, turn, every]);
  return { data: got.key === key ? got.data : null, error: got.key === key ? got.error : null, retry: () => setTurn((n) => n + 1) };
}
