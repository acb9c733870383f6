// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { me, useGet } from './api.js';
import { ExportLinks } from './export.js';
import { Failed, Reading, Segments } from './figure.js';
import { moment, NO_DATA, num, pileNumber, withoutPlace } from './format.js';
import { t, term, Zh } from './i18n.js';
import { href, route, setQuery } from './route.js';
import { useTopics } from './live.js';
import { SubNav } from './subnav.js';
import { useStore, useStores } from './store.js';

const REFRESH = 15_000;

/** In the order in which a case may go through them. */
const STATES = ['check', 'suspected', 'notified', 'overdue', 'confirmed', 'reviewed', 'decommissioned', 'rectified', 'dismissed', 'restored', 'revoked'];
const OPEN = ['check', 'suspected', 'notified', 'overdue', 'confirmed', 'reviewed'];

/** @param {string} id */
export const caseHref = (id) => href(['cases', id]);

/** Says on every page of cases that there is no regulation behind them yet. @param {{document: string}} props */
export const Trial = ({ document: number }) => number ? null : html`<p class="cut-bar trial" role="note">${t('caseTrial')}</p>`;

/** Whole days until a time; under 0 it has passed. @param {string} time */
export const daysUntil = (time) => Math.floor((Date.parse(time) - Date.now()) / 86400e3);

/** @param {any} c of the API */
function dueText(c) {
  if (!c.deadline || !['notified', 'check'].includes(c.state)) return c.escalated ? t('caseEscalated') : NO_DATA;
  const left = daysUntil(c.deadline);
  return left >= 0 ? t('caseDaysLeft', { n: num(left) }) : t('casePassed');
}

/** All cases that the viewer may see, by state, deadline and division. */
export function CasesPage() {
  const [{ query }, who] = useStores([route, me]);
  // Live, but for a filter that no topic has.
  const own = who && who.role === 'operator', division = query.division || who?.scope || who?.home || '';
  const filtered = query.operator && !own || query.division && own;
  const name = own ? `cases:op:${who.scope}` : `cases:${who && !who.may.includes('cases') ? 'public:' : ''}${division}`;
  const [told] = useTopics(filtered || !who ? [] : [name]);
  const got = useGet(filtered || told?.error ? 'cases' : null, { division: query.division, operator: query.operator }, REFRESH);
  const { error, retry } = got, data = told?.data || got.data;
  if (error && !data) return html`<${Failed} error=${error} retry=${retry} />`;
  if (!data) return html`<${Reading} />`;
  const wanted = query.state || 'open';
  const rows = data.cases.filter((/** @type {any} */ c) => wanted === 'open' ? OPEN.includes(c.state) : wanted === 'all' || c.state === wanted);
  const total = (/** @type {string[]} */ of) => of.reduce((n, s) => n + (data.totals[s] || 0), 0);
  return html`<${SubNav} part="cases" /><article class="cases">
    <${Trial} document=${data.document} />
    <section class="panel list" aria-labelledby="cases-title">
      <header><h1 id="cases-title">${t('cases')}</h1><p>${t('casesNote')}</p></header>
      <${Segments} label=${t('state')} value=${wanted} onChoose=${(/** @type {string} */ v) => setQuery({ state: v === 'open' ? '' : v })}
        choices=${[{ value: 'open', name: `${t('casesOpen')} ${num(total(OPEN))}` }, ...STATES.filter((s) => data.totals[s]).map((s) => ({ value: s, name: `${term('case_', s)} ${num(total([s]))}` })), { value: 'all', name: t('casesAll') }]} />
      ${rows.length > 0 && html`<table class="rows case-list" aria-labelledby="cases-title"><thead><tr>
        <th scope="col">${t('caseNo')}</th><th scope="col">${t('caseWhere')}</th><th scope="col">${t('operator')}</th><th scope="col">${t('caseGround')}</th><th scope="col">${t('state')}</th><th scope="col" class="n">${t('caseSince')}</th><th scope="col" class="n">${t('caseDue')}</th></tr></thead>
        <tbody>${rows.map((/** @type {any} */ c) => html`<tr key=${c.id} data-case=${c.id} data-state=${c.state}>
          <th scope="row">${c.serial || who && who.role !== 'public' ? html`<a href=${caseHref(c.id)}>${c.id}</a>` : c.id}</th>
          <td><${Zh}>${c.county_name} ${c.township_name} · ${withoutPlace(c.station_name, c.county_name, c.township_name)}<//> · ${t('pileNo', { n: pileNumber(c.pile) })}</td>
          <td><${Zh}>${c.operator_name}<//></td><td>${c.grounds.map((/** @type {any} */ g) => term('rule_', g.rule)).join('、') || NO_DATA}</td>
          <td>${term('case_', c.state)}${c.relapses > 0 && ` · ${t('caseRelapse', { n: num(c.relapses) })}`}</td><td class="n">${moment(c.since)}</td><td class="n">${dueText(c)}</td></tr>`)}</tbody></table>`}
      <${ExportLinks} table="cases" params=${{ division: query.division, operator: query.operator, state: STATES.includes(wanted) ? wanted : '' }} />
      ${rows.length === 0 && html`<p class="empty">${t('casesNone')}</p>`}
    </section></article>`;
}

/** How many are open, for the bar. */
export function OpenCases() {
  const who = useStore(me);
  const { data } = useGet(who && who.may.includes('cases') ? 'cases' : null, {}, 60_000);
  const n = data ? OPEN.reduce((sum, s) => sum + (data.totals[s] || 0), 0) : 0;
  return n > 0 ? html` <small>${num(n)}</small>` : null;
}
