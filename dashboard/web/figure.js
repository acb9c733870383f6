// @ts-check
import { html, useLayoutEffect, useRef, useState } from './vendor/htm/standalone.mjs';
import { Problem } from './api.js';
import { seconds, useStore } from './store.js';
import { t, term } from './i18n.js';

/**
 * A figure that says when it has changed. value is what is compared, the children what is shown.
 * @param {{value: any, id?: string, class?: string, children?: any}} props
 */
export function Figure({ value, children, id, class: kind = '' }) {
  const before = useRef(value);
  const changes = useRef(0);
  if (before.current !== value) {
    if (before.current !== undefined && before.current !== null) changes.current++;
    before.current = value;
  }
  return html`<span id=${id} key=${changes.current} class=${`figure live ${kind} ${changes.current ? 'changed' : ''}`}>${children}</span>`;
}

/** A unit behind a figure. @param {{children?: any}} props */
export const Unit = ({ children }) => html`<span class="unit">${children}</span>`;

/** What went wrong, in the reader's language where the status says it. @param {Problem} error */
function titleOf(error) {
  if (!error.status) return t('noAnswer');
  const word = term('wrong_', String(error.status));
  return word === String(error.status) ? error.message : word;
}

/**
 * What a panel shows instead of what it cannot show.
 * @param {{error: Problem, retry: () => void}} props
 */
export const Failed = ({ error, retry }) => html`<p class="failed" role="alert">
  ${t('failed', { title: titleOf(error) })} <button type="button" class="link" onClick=${retry}>${t('retry')}</button></p>`;

/** Says that something is being read, once that takes longer than a glance. */
export function Reading() {
  const now = useStore(seconds);
  const since = useRef(now);
  return html`<p class="reading">${now - since.current >= 2000 && t('reading')}</p>`;
}

/**
 * The size of an element, as it changes.
 * @param {{current: any}} ref
 */
export function useSize(ref) {
  const [size, setSize] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const seen = new ResizeObserver(([entry]) => {
      const { width, height } = entry.contentRect;
      setSize({ width, height });
    });
    seen.observe(ref.current);
    return () => seen.disconnect();
  }, []);
  return size;
}

/**
 * How many rows fit into a list; all rows are as high as the first.
 * @param {{current: any}} list
 * @param {number} least
 */
export function useFit(list, least) {
  const { height } = useSize(list);
  const first = list.current && list.current.firstElementChild;
  return first ? Math.max(least, Math.floor((height + 1) / first.offsetHeight)) : least;
}

/**
 * One of several choices.
 * @param {{label: string, value: string, choices: {value: string, name: any, mark?: any}[], onChoose: (value: string) => void}} props
 */
export const Segments = ({ label, value, choices, onChoose }) => html`<div class="segments" role="group" aria-label=${label}>
  ${choices.map((c) => html`<button type="button" key=${c.value} aria-pressed=${c.value === value ? 'true' : 'false'} onClick=${() => onChoose(c.value)}>${c.mark} ${c.name}</button>`)}
</div>`;
