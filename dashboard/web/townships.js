// @ts-check
import { useEffect, useState } from './vendor/htm/standalone.mjs';
import { get } from './api.js';
import { STATES } from './marks.js';

/** All there are in the province, and more. */
const LIMIT = 2000;
const PATIENCE = 1000; // between two looks at the server
const MANY = 20; // changes a second, from which on single marks say nothing

/**
 * One township as GET /townships tells it; changed is when its state changed before our eyes.
 * @typedef {{division: string, name: string, county: string, city: string, kind: string, counted: boolean, state: import('./marks.js').State,
 *   since: string | null, reason: string, not_observed: boolean, stations: number, connectors: number, usable: number, online: number,
 *   charging: number, fault: number, power_kw: number, last_usable: string | null, changed?: number}} Township
 */

/**
 * The townships of a division, kept as they are now. groups are their counts by county or city as
 * they come over the WebSocket: where rows and counts differ, the rows are read again.
 */
class Keeper {
  /**
   * @param {string} division
   * @param {string} tier
   * @param {() => void} tell
   */
  constructor(division, tier, tell) {
    this.division = division;
    this.tier = tier;
    this.tell = tell;
    /** @type {Map<string, Township>} */
    this.rows = new Map();
    /** @type {any} */
    this.error = null;
    this.loaded = false;
    /** @type {Set<string>} */
    this.stale = new Set();
    this.stop = new AbortController();
    this.reading = false;
    /** @type {number[]} */
    this.changes = [];
    this.timer = 0;
  }

  /** @param {string} within */
  async read(within) {
    if (this.reading) {
      this.stale.add(within);
      return;
    }
    this.reading = true;
    try {
      const { townships } = await get('townships', { division: within, tier: this.tier, limit: LIMIT }, this.stop.signal);
      this.error = null;
      this.put(townships);
      this.loaded = true;
    } catch (err) {
      if (this.stop.signal.aborted) return;
      this.error = err;
    }
    this.reading = false;
    this.tell();
    this.readSoon(PATIENCE);
  }

  /** @param {number} wait in ms; several that are stale are read in one go */
  readSoon(wait) {
    if (!this.stale.size || this.reading || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      const within = this.stale.size > 1 ? this.division : [...this.stale][0];
      this.stale.clear();
      this.read(within);
    }, wait);
  }

  /** @param {Township[]} rows */
  put(rows) {
    const now = Date.now();
    const next = new Map(this.rows);
    for (const row of rows) {
      const before = next.get(row.division);
      const changed = before && before.state !== row.state;
      if (changed) this.changes.push(now);
      next.set(row.division, { ...row, changed: changed ? now : before && before.changed });
    }
    this.changes = this.changes.filter((at) => now - at < 1000);
    if (this.changes.length > MANY) for (const [code, row] of next) if (row.changed === now) next.set(code, { ...row, changed: undefined });
    this.rows = next;
  }

  /**
   * Compares the rows with counts that have come; a township's own are taken as they are.
   * @param {any[]} groups
   */
  compare(groups) {
    if (!this.loaded) return;
    /** @type {Township[]} */
    const told = [];
    for (const group of groups) {
      if (group.level === 'township') {
        const row = this.rows.get(group.division);
        if (!row || (row.state === group.state && row.connectors === group.connectors.public && sameConnectors(row, group.connectors))) continue;
        const { public: connectors, ...counts } = group.connectors;
        told.push({ ...row, state: group.state, since: group.since ?? null, reason: group.reason, not_observed: group.not_observed > 0, stations: group.stations, connectors, ...counts });
        if (row.state !== group.state) this.stale.add(this.division);
      } else if (STATES.some((s) => group[s] !== this.count(group.division, s))) {
        this.stale.add(group.division);
      }
    }
    if (told.length) {
      this.put(told);
      this.tell();
    }
    this.readSoon(PATIENCE / 10);
  }

  /** @param {string} within @param {string} state */
  count(within, state) {
    let n = 0;
    for (const row of this.rows.values()) if (row.state === state && row.division.startsWith(within)) n++;
    return n;
  }

  end() {
    this.stop.abort();
    clearTimeout(this.timer);
  }
}

/** @param {Township} row @param {any} c */
const sameConnectors = (row, c) => row.online === c.online && row.usable === c.usable && row.charging === c.charging && row.fault === c.fault && row.power_kw === c.power_kw;

/**
 * @param {string} division
 * @param {string} tier
 * @param {any[] | undefined} groups children with counts, or township children, as they come
 * @returns {{rows: Map<string, Township>, loaded: boolean, error: any, retry: () => void}}
 */
export function useTownships(division, tier, groups) {
  const [keeper, setKeeper] = useState(/** @type {Keeper | null} */ (null));
  const [, again] = useState(0);
  useEffect(() => {
    const mine = new Keeper(division, tier, () => again((n) => n + 1));
    setKeeper(mine);
    mine.read(division);
    return () => mine.end();
  }, [division, tier]);
  const here = keeper && keeper.division === division && keeper.tier === tier ? keeper : null;
  useEffect(() => { if (here && groups) here.compare(groups); }, [here, groups, here && here.loaded]);
  return here ? { rows: here.rows, loaded: here.loaded, error: here.error, retry: () => here.read(division) } : { rows: new Map(), loaded: false, error: null, retry: () => {} };
}
