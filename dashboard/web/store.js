// @ts-check
import { useEffect, useState } from './vendor/htm/standalone.mjs';

/**
 * A value that components follow. Followers hear of any number of changes once a frame: many
 * messages a second cost one drawing.
 * @template T
 */
export class Store {
  /** @param {T} value */
  constructor(value) {
    this.value = value;
    /** @type {Set<() => void>} */
    this.followers = new Set();
    this.told = true;
  }

  /** @param {T} value */
  set(value) {
    if (Object.is(value, this.value)) return;
    this.value = value;
    if (!this.told) return;
    this.told = false;
    requestAnimationFrame(() => {
      this.told = true;
      for (const follower of [...this.followers]) follower();
    });
  }

  /**
   * @param {() => void} follower
   * @returns {() => void} ends it
   */
  follow(follower) {
    this.followers.add(follower);
    return () => { this.followers.delete(follower); };
  }
}

/**
 * Follows several stores; their values, in the order given.
 * @param {Store<any>[]} stores
 */
export function useStores(stores) {
  const [, again] = useState(0);
  const seen = stores.map((store) => store.value);
  useEffect(() => {
    const ends = stores.map((store) => store.follow(() => again((n) => n + 1)));
    if (stores.some((store, i) => store.value !== seen[i])) again((n) => n + 1);
    return () => ends.forEach((end) => end());
  }, stores);
  return seen;
}

/**
 * @template T
 * @param {Store<T>} store
 * @returns {T}
 */
export function useStore(store) {
  return useStores([store])[0];
}

/** Counts the seconds, for what shows an age. */
export const seconds = new Store(Date.now());
setInterval(() => seconds.set(Date.now()), 1000);

/** @param {string} name @returns {string | null} */
export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // the browser keeps nothing for this page
  }
}

/** @param {string} name @param {string} value */
export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // It then holds until the page is left.
  }
}

/** Whether a sheet is so high that lists stand beside what sums them up. */
const high = matchMedia('(min-width: 1200px) and (min-height: 1300px)');
export const tall = new Store(high.matches);
high.addEventListener('change', () => tall.set(high.matches));

/** light or dark */
export const theme = new Store(document.documentElement.dataset.theme || 'light');

/** @param {string} name */
export function setTheme(name) {
  document.documentElement.dataset.theme = name;
  theme.set(name);
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (e) => {
  if (!remembered('theme')) setTheme(e.matches ? 'dark' : 'light');
});

/** @param {string} name of a custom property in tokens.css, without the dashes */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
}
