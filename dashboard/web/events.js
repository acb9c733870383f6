// @ts-check
import { html, useRef } from './vendor/htm/standalone.mjs';
import { me } from './api.js';
import { useFit } from './figure.js';
import { minute, moment, percent, pileNumber, withoutPlace } from './format.js';
import { Place, t, term, Zh, zoneName } from './i18n.js';
import { Mark, Square } from './marks.js';
import { useTopics } from './live.js';
import { divisionHref, href, pileHref } from './route.js';

const LEAST = 4;

/** Operators hear of their own piles only. @param {string} division */
const topicOf = (division) => 'events:' + (me.value && me.value.role === 'operator' && !me.value.public ? 'op:' + me.value.scope : division);

/** What an event's mark is. @param {any} e */
function markOf(e) {
  switch (e.kind) {
    case 'coverage_gained': case 'coverage_lost': case 'coverage_unsteady': return html`<${Mark} state=${e.after} />`;
    case 'connector_restored': return html`<${Square} kind="usable" />`;
    case 'connector_offline': return html`<${Square} kind="offline" />`;
    case 'connector_silent': return html`<${Square} kind="silent" />`;
    default: return html`<${Square} kind="fault" />`;
  }
}

/** What an event says. @param {any} e */
function textOf(e) {
  const fault = term('f_', e.fault || 'other');
  switch (e.kind) {
    case 'coverage_gained': return t(e.before === 'failing' || e.before === 'unverified' ? 'evGainedAgain' : 'evGainedFirst');
    case 'coverage_lost': return t('evLostTo', { state: term('', e.after).toLowerCase() });
    case 'coverage_unsteady': return t('evUnsteady', { share: percent(e.share_effective, 1) });
    case 'connector_fault': return fault;
    case 'danger_alarm': return t('evDanger', { fault });
    case 'connector_restored': return t('evRestored');
    case 'connector_offline': return t('st_offline');
    case 'connector_silent': return t('st_silent');
    default: return e.kind;
  }
}

/** @param {{event: any, dated?: boolean}} props */
export function EventRow({ event: e, dated = false }) {
  const address = e.pile ? pileHref(e.pile) : divisionHref(e.township);
  const byPlace = e.kind.startsWith('coverage_');
  return html`<li class=${e.fresh ? 'event fresh' : 'event'}><a href=${address}>
    <time datetime=${e.at}>${dated ? moment(e.at) : minute(e.at)}</time>
    <span class="what">${markOf(e)} <b><${Place} code=${e.township} name=${`${zoneName(e.county_name)} ${e.township_name}`} /></b>
      <span class="said">${textOf(e)}${e.pile && !byPlace && ` · ${t('pileShort', { n: pileNumber(e.pile) + (e.connector ? '-' + e.connector : '') })}`}${e.station && (dated || byPlace) && html` · <${Zh}>${withoutPlace(e.station, e.county_name, e.township_name)}<//>`}</span></span>
  </a></li>`;
}

/**
 * The newest events, as many as there is room for.
 * @param {{division: string}} props
 */
export function Events({ division }) {
  const [{ data }] = useTopics([topicOf(division)]);
  const box = useRef(null);
  const fit = useFit(box, LEAST);
  const shown = data ? data.events.slice(0, fit) : [];
  return html`<section class="panel events" aria-labelledby="events-title">
    <header><h2 id="events-title">${t('events')}</h2><a href=${href(['events'])}>${t('allEvents')}</a></header>
    <ol ref=${box}>${shown.map((/** @type {any} */ e) => html`<${EventRow} key=${e.id} event=${e} />`)}</ol>
    ${data && !shown.length && html`<p class="empty">${t('noEvents')}</p>`}
  </section>`;
}

/** All events that are kept. @param {{division: string}} props */
export function EventsPage({ division }) {
  const [{ data }] = useTopics([topicOf(division)]);
  return html`<section class="panel events list" aria-labelledby="events-title">
    <header><h1 id="events-title">${t('events')}</h1></header>
    <ol>${data && data.events.map((/** @type {any} */ e) => html`<${EventRow} key=${e.id} event=${e} dated />`)}</ol>
    ${data && !data.events.length && html`<p class="empty">${t('noEvents')}</p>`}
  </section>`;
}

/** The newest events on one line, for a wall. @param {{division: string}} props */
export function EventLine({ division }) {
  const [{ data }] = useTopics([topicOf(division)]);
  return html`<ol class="event-line" aria-label=${t('events')}>${(data ? data.events.slice(0, 4) : []).map((/** @type {any} */ e) => html`<li key=${e.id}>${markOf(e)} <time datetime=${e.at}>${minute(e.at)}</time> <b><${Place} code=${e.township} name=${`${zoneName(e.county_name)} ${e.township_name}`} /></b> ${textOf(e)}</li>`)}</ol>`;
}
