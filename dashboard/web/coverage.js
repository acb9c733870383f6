// @ts-check
import { html, useMemo, useState } from './vendor/htm/standalone.mjs';
import { me, useGet } from './api.js';
import { DayMarks } from './days.js';
import { ExportLinks } from './export.js';
import { Failed, Figure, Reading, Segments, Unit } from './figure.js';
import { age, moment, NO_DATA, num, percent } from './format.js';
import { GapList, Weights } from './gaps.js';
import { Place, t } from './i18n.js';
import { useTopics } from './live.js';
import { Mark, MarkStrip, STATES } from './marks.js';
import { Outline } from './outline.js';
import { reasonText, reasonWord } from './reasons.js';
import { divisionHref, route, setQuery } from './route.js';
import { useStore } from './store.js';
import { Rows, sorted } from './table.js';
import { TownshipPage } from './township.js';
import { useTownships } from './townships.js';
import { Trend } from './trend.js';
import { byState } from './units.js';

/** @typedef {import('./townships.js').Township} Township */
/** @typedef {import('./table.js').Column} Column */

const STEP = 200; // rows shown at a time
const STRIPS_EVERY = 10 * 60_000; // a day closes once a day

/** What needs somebody first; of one state what has been so for longest. */
const ORDER = ['failing', 'unverified', 'none', 'starting', 'effective'];

const tiers = /** @type {const} */ ({
  towns: { name: 'tierTowns', of: 'ofTownsEffective' }, streets: { name: 'tierStreets', of: 'ofStreetsEffective' }, all: { name: 'tierAll', of: 'ofAllEffective' },
});

/** @type {Record<string, (row: Township) => boolean>} */
const filters = {
  paper: (row) => row.state === 'failing' || row.state === 'unverified',
  ...Object.fromEntries(STATES.map((state) => [state, (/** @type {Township} */ row) => row.state === state])),
};

/** @type {Record<string, import('./i18n.js').Word>} */
const kinds = { town: 'kindTown', township: 'kindTownship', street: 'kindStreet', quasi: 'kindQuasi', zone: 'kindZone' };

/** @param {string} code @param {string} tier */
const topicOf = (code, tier) => `coverage:${code}${tier === 'towns' ? '' : ':' + tier}`;

/** The divisions above one, from the province, or what else the viewer may see, down. @param {string} code */
export const above = (code) => [2, 4, 6].filter((n) => n < code.length && n >= (me.value ? me.value.home.length : 0)).map((n) => code.slice(0, n));

/**
 * The way down to a division or what lies in it.
 * @param {{codes: string[], children?: any}} props codes of what lies above
 */
export function Breadcrumbs({ codes, children }) {
  const told = useTopics(codes.map((c) => 'coverage:' + c));
  return html`<nav class="breadcrumbs" aria-label=${t('location')}><ol>
    ${told.map(({ data }, i) => data && html`<li key=${i}><a href=${divisionHref(data.division)}><${Place} code=${data.division} name=${data.name} /></a></li>`)}
    <li aria-current="page">${children}</li>
  </ol></nav>`;
}

/** The page of a division. @param {{code: string}} props */
export const Coverage = ({ code }) => code.length === 9 ? html`<${TownshipPage} key=${code} code=${code} />` : html`<${DivisionPage} key=${code} code=${code} />`;

/** @param {{code: string}} props of 2, 4 or 6 digits */
function DivisionPage({ code }) {
  const { query } = useStore(route);
  const tier = Object.hasOwn(tiers, query.tier || '') ? /** @type {keyof typeof tiers} */ (query.tier) : 'towns';
  const [own, streets] = useTopics([topicOf(code, tier), topicOf(code, 'streets')]);
  const counts = own.data;
  const { rows, loaded, error, retry } = useTownships(code, tier, counts && counts.children);
  const state = Object.hasOwn(filters, query.state || '') ? query.state : '';
  const county = code.length === 6;
  const without = tier === 'towns' && counts && !counts.total; // streets only: nothing to take a share of
  const towns = useMemo(() => [...rows.values()].sort(byState), [rows]);
  const worstFirst = useMemo(() => [...rows.values()].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || (a.since || '').localeCompare(b.since || '')), [rows]);
  const { data: past } = useGet(county ? 'coverage/days' : null, { division: code }, STRIPS_EVERY);
  const strips = useMemo(() => past ? new Map(past.townships.map((/** @type {any} */ one) => [one.division, one.days])) : null, [past]);
  if (own.error) return html`<p class="empty">${own.error}</p>`;
  const gaps = query.state === 'gaps' && tier === 'towns';
  const inState = state ? worstFirst.filter(filters[state]) : worstFirst;
  const reasons = [...new Set(inState.map((r) => r.reason))].sort();
  const reason = reasons.includes(query.reason) ? query.reason : '';
  const listed = reason ? inState.filter((r) => r.reason === reason) : inState;
  const asRows = county || state !== '';
  const choices = [
    { value: '', name: county ? `${t('all')} ${num(counts?.total)}` : t(code.length === 2 ? 'byCity' : 'byCounty', { n: num(counts?.children.length) }) },
    { value: 'paper', name: `${t('paper')} ${num(counts?.paper)}` },
    ...ORDER.map((s) => ({ value: s, mark: html`<${Mark} state=${s} />`, name: `${t(/** @type {any} */ (s))} ${num(counts?.[s])}` })),
    ...tier === 'towns' ? [{ value: 'gaps', name: t('gapRanking') }] : [],
  ];
  return html`<article class="division">
    <header class="title-line">
      <${Breadcrumbs} codes=${above(code)}>${counts && html`<${Place} code=${code} name=${counts.name} />`}<//>
      <h1>${counts ? html`<${Place} code=${code} name=${counts.name} />` : NO_DATA}<small>${code}</small></h1>
      <p class="covered"><${Figure} class=${counts && !counts.total ? 'share-figure state-none' : 'share-figure'} value=${counts && counts.effective}>${percent(counts?.effective, counts?.total)}<//>
        <span class="live">${counts && (without ? t('noTowns') : t(tiers[tier].of, { n: num(counts.effective), of: num(counts.total) }))}</span></p>
      ${code.length > 2 && towns.length > 0 && html`<${MarkStrip} towns=${towns} pitch=${county ? 9 : 5} height=${county ? 12 : 9} />`}
      ${!without && html`<p class="legend">${STATES.map((s) => html`<span key=${s}><${Mark} state=${s} /> ${t(s)} <b class="live">${num(counts?.[s])}</b></span>`)}</p>`}
      ${tier === 'towns' && streets.data && streets.data.total > 0 && counts && html`<p class="apart">${t(without ? 'streetsOnly' : 'streetsApart', { n: num(streets.data.total), effective: num(streets.data.effective), of: num(counts.total) })}</p>`}
    </header>
    <div class="main-column">
      <div class="controls">
        ${!without && html`<${Segments} label=${t('filter')} value=${gaps ? 'gaps' : state} choices=${choices} onChoose=${(/** @type {string} */ v) => setQuery({ state: v, sort: '', reason: '' })} />`}
        ${asRows && !gaps && reasons.length > 1 && html`<select aria-label=${t('filterReason')} value=${reason} onChange=${(/** @type {any} */ e) => setQuery({ reason: e.target.value })}>
          <option value="">${t('anyBasis')}</option>${reasons.map((r) => html`<option key=${r} value=${r}>${reasonWord(r)}</option>`)}</select>`}
        <${Segments} label=${t('tier')} value=${tier} choices=${Object.entries(tiers).map(([value, { name }]) => ({ value, name: t(name) }))}
          onChoose=${(/** @type {string} */ v) => setQuery({ tier: v === 'towns' ? '' : v })} />
      </div>
      <${ExportLinks} table="townships" params=${{ division: code, tier, state: STATES.includes(/** @type {any} */ (state)) ? state : '' }} />
      ${error && !loaded ? html`<${Failed} error=${error} retry=${retry} />` : (!counts || !loaded) && html`<${Reading} />`}
      ${gaps ? html`<${GapList} division=${code} />` : counts && (asRows ? loaded && html`<${TownshipTable} rows=${listed} county=${county} sort=${query.sort} strips=${strips} empty=${html`<${NoTowns} counts=${counts} streets=${streets.data} tier=${tier} state=${state} />`} />`
        : html`<${ChildTable} counts=${counts} towns=${towns} tier=${tier} sort=${query.sort} />`)}
    </div>
    <aside>
      ${counts && html`<${Outline} code=${code} children=${counts.children} towns=${county ? towns : []} />`}
      <${Trend} division=${code} scope=${tier} />
      ${gaps && html`<${Weights} division=${code} />`}
      <${ConnectorFacts} counts=${counts} note=${t('inThisTier')} />
    </aside>
  </article>`;
}

/** @param {{counts: any, streets: any, tier: string, state: string}} props */
function NoTowns({ counts, streets, tier, state }) {
  if (counts.total > 0 || state || tier !== 'towns') return html`<p class="empty">${t('noneInState')}</p>`;
  return html`<p class="empty">${t('noTownsHere', { name: counts.name, n: num(streets?.total) })} ·${' '}
    <button type="button" class="link" onClick=${() => setQuery({ tier: 'streets' })}>${t('seeStreets')}</button></p>`;
}

/** Cities of the province, or counties and zones of a city. @param {{counts: any, towns: Township[], tier: string, sort: string | undefined}} props */
function ChildTable({ counts, towns, tier, sort }) {
  const byChild = useMemo(() => {
    /** @type {Map<string, Township[]>} */
    const grouped = new Map();
    const digits = counts.division.length + 2;
    for (const row of towns) {
      const child = row.division.slice(0, digits);
      const group = grouped.get(child);
      if (group) group.push(row); else grouped.set(child, [row]);
    }
    return grouped;
  }, [towns]);
  const count = (/** @type {import('./marks.js').State} */ s) => /** @type {Column} */ ({
    key: s, name: t(s), by: (c) => c[s], down: true, class: 'n', cell: (c) => html`<${Figure} value=${c[s]}>${c.total ? num(c[s]) : NO_DATA}<//>`,
  });
  /** @type {Column[]} */
  const columns = [
    { key: 'name', name: t('division'), by: (c) => c.division, cell: (c) => html`<a href=${divisionHref(c.division, tier === 'towns' ? {} : { tier })}><${Place} code=${c.division} name=${c.name} /></a>${c.kind === 'zone' && html` <small>${t('kindZone')}</small>`}` },
    { key: 'share', name: t('effectiveShare'), by: (c) => c.total ? c.effective / c.total : -1, down: true, class: 'n', cell: (c) => html`<${Figure} value=${c.effective}><b>${percent(c.effective, c.total)}</b><//>` },
    { key: 'total', name: t('towns'), by: (c) => c.total, down: true, class: 'n', cell: (c) => c.total ? html`<span class="live">${num(c.effective)}</span> / ${num(c.total)}` : NO_DATA },
    { key: 'marks', name: t('unitsCol'), by: (c) => c.total, down: true, class: 'marks', cell: (c) => html`<${MarkStrip} towns=${byChild.get(c.division) || []} pitch=${counts.division.length === 2 ? 4 : 7} height=${8} />` },
    count('failing'), count('unverified'), count('starting'), count('none'),
    { key: 'usable', name: t('connectorsCol'), by: (c) => c.connectors.usable, down: true, class: 'n', cell: (c) => html`<span class="live">${num(c.connectors.usable)}</span> / ${num(c.connectors.public)}` },
    { key: 'power', name: t('powerCol'), by: (c) => c.connectors.power_kw, down: true, class: 'n', cell: (c) => html`<span class="live">${num(c.connectors.power_kw)}</span><${Unit}>kW<//>` },
  ];
  return html`<${Rows} class="children" label=${t('coverage')} columns=${columns} sort=${sort} rows=${sorted(counts.children, columns, sort)} hook=${(/** @type {any} */ c) => ({ 'data-division': c.division })} />`;
}

/** @param {{rows: Township[], county: boolean, sort: string | undefined, strips: Map<string, any[]> | null, empty: any}} props county: they are all of one */
function TownshipTable({ rows, county, sort, strips, empty }) {
  const [shown, show] = useState(STEP);
  /** @type {Column[]} */
  const columns = [
    { key: 'name', name: t('township'), by: (r) => r.division, cell: (r) => html`<a href=${divisionHref(r.division)}><${Place} code=${r.division} name=${r.name} /></a>${!r.counted && html` <small>${t(kinds[r.kind])}</small>`}` },
    { key: 'state', name: t('state'), by: (r) => ORDER.indexOf(r.state), class: 'state', cell: (r) => html`<${Figure} value=${r.state} class=${'state-' + r.state}><${Mark} state=${r.state} notObserved=${r.not_observed} /> ${t(/** @type {any} */ (r.state))}<//>` },
    ...county ? [] : [{ key: 'county', name: t('county'), by: (/** @type {Township} */ r) => r.division, class: 'place', cell: (/** @type {Township} */ r) => html`<${Place} code=${r.division.slice(0, 4)} name=${r.city} /> <${Place} code=${r.division.slice(0, 6)} name=${r.county} />` }],
    { key: 'reason', name: t('basis'), by: (r) => r.reason, class: 'reason', cell: (r) => html`<span class="live">${reasonText(r)}</span>` },
    { key: 'since', name: t('since'), by: (r) => r.since ? -Date.parse(r.since) : 0, down: true, class: 'n', cell: (r) => html`<span class="live" title=${moment(r.since)}>${age(r.since)}</span>` },
    { key: 'usable', name: t('connectorsCol'), by: (r) => r.usable, down: true, class: 'n', cell: (r) => r.connectors ? html`<${Figure} value=${r.usable}>${num(r.usable)}<//> / ${num(r.connectors)}` : NO_DATA },
    { key: 'fault', name: t('faultCol'), by: (r) => r.fault, down: true, class: 'n', cell: (r) => html`<${Figure} value=${r.fault} class=${r.fault ? 'fault' : ''}>${r.connectors ? num(r.fault) : NO_DATA}<//>` },
    { key: 'power', name: t('powerCol'), by: (r) => r.power_kw, down: true, class: 'n', cell: (r) => r.connectors ? html`<span class="live">${num(r.power_kw, 1)}</span><${Unit}>kW<//>` : NO_DATA },
    { key: 'last', name: t('lastUsable'), by: (r) => r.usable ? Infinity : Date.parse(r.last_usable || '') || 0, down: true, class: 'n', cell: (r) => lastUsable(r) },
    ...strips && strips.size ? [{ key: 'days', name: t('last30'), by: (/** @type {Township} */ r) => (strips.get(r.division) || []).filter((d) => d.state === 'effective').length, class: 'strip-days', cell: (/** @type {Township} */ r) => html`<${DayMarks} days=${strips.get(r.division) || []} />` }] : [],
  ];
  if (!rows.length) return empty;
  return html`<${Rows} class="townships" label=${t('towns')} columns=${columns} sort=${sort} rows=${sorted(rows, columns, sort).slice(0, shown)} hook=${(/** @type {Township} */ r) => ({ 'data-division': r.division, 'data-state': r.state })} />
    ${rows.length > shown && html`<button type="button" class="wide" onClick=${() => show(shown + STEP)}>${t('showMore', { n: Math.min(STEP, rows.length - shown) })}</button>`}`;
}

/** @param {Township} r */
export function lastUsable(r) {
  if (r.usable) return t('now');
  if (r.last_usable) return moment(r.last_usable);
  return r.connectors ? t('never') : NO_DATA;
}

/** @param {{counts: any, note: string}} props */
export function ConnectorFacts({ counts, note }) {
  const c = counts && counts.connectors;
  const rows = [
    [t('stations'), num(counts?.stations)], [t('registered'), num(c?.public)], [t('onlineShort'), c ? `${num(c.online)} · ${percent(c.online, c.public)}` : NO_DATA],
    [t('usable'), c ? `${num(c.usable)} · ${percent(c.usable, c.public)}` : NO_DATA], [t('charging'), num(c?.charging)], [t('fault'), num(c?.fault)], [t('power'), c ? html`${num(c.power_kw, 1)}<${Unit}>kW<//>` : NO_DATA],
  ];
  return html`<section aria-labelledby="connectors-title"><header><h2 id="connectors-title">${t('connectorsHere')}</h2><p>${note}</p></header>
    <dl class="facts">${rows.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class="live">${value}</dd></div>`)}</dl></section>`;
}
