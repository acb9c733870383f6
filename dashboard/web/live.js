// @ts-check
import { useEffect, useMemo } from './vendor/htm/standalone.mjs';
import { me, whoAmI } from './api.js';
import { Store, useStores } from './store.js';

/** Without a message for this long what is shown may no longer hold (ms); the server speaks each 5 s. */
export const STALE_AFTER = 15_000;
const DEAD_AFTER = 30_000;
const RETRY_FIRST = 500;
const RETRY_LAST = 15_000;
const LINGER = 2_000; // going from a page to the next and back gives up nothing
const EVENTS_KEPT = 200;

/**
 * The connection: live, or cut while it is tried for the attempt-th time. heard is when the server
 * last said anything, 0 for never.
 * @type {Store<{state: 'live' | 'cut', attempt: number, heard: number}>}
 */
export const connection = new Store({ state: /** @type {'live' | 'cut'} */ ('cut'), attempt: 0, heard: 0 });

/**
 * What is known of a topic: its data, or the server's reason to give none.
 * @typedef {{data: any, version: number | undefined, error: string}} Told
 * @typedef {{store: Store<Told>, holders: number}} Topic
 */

/** @type {Map<string, Topic>} */
const topics = new Map();
/** @type {WebSocket | null} */
let socket = null;
let opened = 0; // when the present connection was begun
let attempt = 0;
let retryTimer = 0;
let asking = false;
let build = ''; // of the page that the server has, as it first said

/** How a delta goes into what is there, by the topic's first word. */
const merges = {
  coverage(/** @type {any} */ old, /** @type {any} */ delta) {
    const changed = new Map(delta.children.map((/** @type {any} */ c) => [c.division, c]));
    return { ...old, ...delta, children: old.children.map((/** @type {any} */ c) => changed.get(c.division) || c) };
  },
  events(/** @type {any} */ old, /** @type {any} */ delta) {
    const known = new Set(old.events.map((/** @type {any} */ e) => e.id));
    const fresh = delta.events.filter((/** @type {any} */ e) => !known.has(e.id)).map((/** @type {any} */ e) => ({ ...e, fresh: true }));
    return { events: [...fresh, ...old.events].slice(0, EVENTS_KEPT) };
  },
  cases(/** @type {any} */ old, /** @type {any} */ delta) {
    const known = new Map([...old.cases, ...delta.cases].map((/** @type {any} */ c) => [c.id, c]));
    const due = (/** @type {any} */ c) => c.deadline ? Date.parse(c.deadline) : Infinity;
    const order = (/** @type {any} */ a, /** @type {any} */ b) => (due(a) === due(b) ? 0 : due(a) - due(b)) || Date.parse(a.since) - Date.parse(b.since) || (a.id < b.id ? -1 : 1);
    return { ...delta, cases: [...known.values()].sort(order) };
  },
  pile(/** @type {any} */ old, /** @type {any} */ delta) {
    const connectors = new Map([...old.connectors, ...delta.connectors].map((/** @type {any} */ c) => [c.connector, c]));
    return { connectors: [...connectors.values()] };
  },
};

/** @param {string} name */
function topic(name) {
  let found = topics.get(name);
  if (!found) {
    found = { store: new Store(/** @type {Told} */ ({ data: null, version: undefined, error: '' })), holders: 0 };
    topics.set(name, found);
  }
  return found;
}

/** @param {any} message */
function receive(message) {
  connection.set({ ...connection.value, heard: Date.now() });
  if (message.type === 'hello') { // not before: a server that is full opens a connection to say so, and ends it
    attempt = 0;
    connection.set({ state: 'live', attempt, heard: Date.now() });
    if (build && build !== message.build) location.reload(); // where one is, is in the address
    build = message.build;
  }
  const found = topics.get(message.topic);
  if (!found) return;
  const { data, version } = message;
  if (message.type === 'snapshot') {
    found.store.set({ data, version, error: '' });
  } else if (message.type === 'delta' && found.store.value.data) {
    const kind = /** @type {keyof typeof merges} */ (message.topic.split(':', 1)[0]);
    found.store.set({ data: merges[kind](found.store.value.data, data), version, error: '' });
  } else if (message.type === 'error') {
    found.store.set({ data: null, version: undefined, error: message.title });
  }
}

function open() {
  clearTimeout(retryTimer);
  opened = Date.now();
  const ws = new WebSocket(location.origin.replace(/^http/, 'ws') + '/ws');
  socket = ws;
  ws.onopen = () => {
    if (socket !== ws) return;
    subscribe([...topics].filter(([, t]) => t.holders > 0).map(([name]) => name));
  };
  ws.onmessage = (e) => { if (socket === ws) receive(JSON.parse(e.data)); };
  ws.onclose = () => {
    if (socket !== ws) return;
    socket = null;
    attempt++;
    connection.set({ ...connection.value, state: 'cut', attempt });
    const wait = Math.min(RETRY_FIRST * 2 ** (attempt - 1), RETRY_LAST);
    retryTimer = setTimeout(retry, wait * (0.75 + Math.random() / 2)); // not all browsers at once
  };
}

/** Tries again, unless the server wants a sign-in first; a refused WebSocket does not say so. */
async function retry() {
  if (attempt > 1) await whoAmI().catch(() => {});
  if (!socket && (!me.value || me.value.role && !me.value.must_change)) open();
}

/** Connects and stays connected. */
export function connect() {
  if (!socket) open();
}

/**
 * Ends the connection: what it may tell was for who had signed in when it began.
 * @param {boolean} again whether to open another one
 */
export function leave(again) {
  const old = socket;
  socket = null;
  attempt = 0;
  clearTimeout(retryTimer);
  if (old) old.close();
  if (again) open();
}

addEventListener('online', () => { if (!socket && attempt) open(); });
setInterval(() => {
  if (socket && Date.now() - Math.max(opened, connection.value.heard) > DEAD_AFTER) {
    const dead = socket;
    dead.close(); // a connection that is gone may take minutes to close
    if (dead.onclose) dead.onclose(new CloseEvent('close'));
  }
}, 1000);

/** @param {object} message */
function send(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

/** @param {string[]} names */
function subscribe(names) {
  if (!names.length) return;
  /** @type {Record<string, number>} */
  const versions = {};
  for (const name of names) {
    const { data, version } = topic(name).store.value;
    if (data && version !== undefined && !name.startsWith('pile:')) versions[name] = version;
  }
  send({ subscribe: names, versions });
}

/** @type {Set<string>} */
let wanted = new Set();

/**
 * Keeps a topic coming until the function returned is called.
 * @param {string} name
 */
function hold(name) {
  const held = topic(name);
  if (held.holders++ === 0) {
    wanted.add(name);
    if (!asking) {
      asking = true;
      queueMicrotask(() => { // a page's topics go in one message
        asking = false;
        subscribe([...wanted]);
        wanted = new Set();
      });
    }
  }
  return () => {
    held.holders--;
    setTimeout(() => {
      if (held.holders > 0 || topics.get(name) !== held) return;
      topics.delete(name);
      send({ unsubscribe: [name] });
    }, LINGER);
  };
}

/**
 * Follows topics; what is told of each, in the order given.
 * @param {string[]} names
 * @returns {Told[]}
 */
export function useTopics(names) {
  const key = names.join(' ');
  const stores = useMemo(() => names.map((name) => topic(name).store), [key]);
  useEffect(() => {
    const ends = names.map(hold);
    return () => ends.forEach((end) => end());
  }, [key]);
  return useStores(stores);
}
