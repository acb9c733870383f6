// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { setQuery } from './route.js';

/**
 * A column: what a row is sorted by and what its cell holds. down sorts the largest first.
 * @typedef {{key: string, name: string, by: (row: any) => number | string, down?: boolean, class?: string, cell: (row: any) => any}} Column
 */

/**
 * Sorts rows as the address says (sort=key or sort=-key), else as they come.
 * @param {any[]} rows
 * @param {Column[]} columns
 * @param {string | undefined} sort
 */
export function sorted(rows, columns, sort) {
  const key = (sort || '').replace(/^-/, ''), column = columns.find((c) => c.key === key);
  if (!column) return rows;
  const sign = sort === key ? 1 : -1;
  return [...rows].sort((a, b) => {
    const x = column.by(a), y = column.by(b);
    return sign * (typeof x === 'string' ? x.localeCompare(String(y), 'zh-CN') : x - Number(y));
  });
}

/**
 * A header whose cells sort.
 * @param {{columns: Column[], sort: string | undefined}} props
 */
export function SortHead({ columns, sort }) {
  return html`<thead><tr>${columns.map((c) => {
    const up = sort === c.key, down = sort === '-' + c.key;
    const next = up ? '-' + c.key : down ? c.key : (c.down ? '-' : '') + c.key;
    return html`<th key=${c.key} scope="col" class=${c.class} aria-sort=${up ? 'ascending' : down ? 'descending' : 'none'}>
      <button type="button" onClick=${() => setQuery({ sort: next })}>${c.name}<span aria-hidden="true">${up ? ' ↑' : down ? ' ↓' : ''}</span></button></th>`;
  })}</tr></thead>`;
}

/**
 * A table whose rows are a place or a thing each.
 * @param {{columns: Column[], rows: any[], sort: string | undefined, hook: (row: any) => Record<string, string>, class?: string, label: string}} props
 */
export const Rows = ({ columns, rows, sort, hook, class: kind = '', label }) => html`<table class=${'rows ' + kind} aria-label=${label}>
  <${SortHead} columns=${columns} sort=${sort} />
  <tbody>${rows.map((row) => {
    const hooks = hook(row);
    return html`<tr key=${Object.values(hooks)[0]} ...${hooks}>
      ${columns.map((c, i) => i === 0 ? html`<th key=${c.key} scope="row" class=${c.class}>${c.cell(row)}</th>` : html`<td key=${c.key} class=${c.class}>${c.cell(row)}</td>`)}</tr>`;
  })}</tbody></table>`;
