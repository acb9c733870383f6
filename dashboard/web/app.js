// @ts-check
import { html, render, useEffect, useRef } from './vendor/htm/standalone.mjs';
import { Account, DemoBar, FirstPassword, isStranger, may } from './account.js';
import { me, whoAmI } from './api.js';
import { CasePage } from './case.js';
import { CasesPage, OpenCases } from './cases.js';
import { InspectionPage, InspectionsPage } from './inspections.js';
import { Coverage } from './coverage.js';
import { EventsPage } from './events.js';
import { Confirmations, Excuses } from './excuses.js';
import { Segments } from './figure.js';
import { clock, dateAndClock, num, span } from './format.js';
import { lang, setLang, t } from './i18n.js';
import { connect, connection, leave, STALE_AFTER } from './live.js';
import { Operators } from './operators.js';
import { Overview } from './overview.js';
import { PilePage } from './pile.js';
import { Piles } from './piles.js';
import { Quality } from './quality.js';
import { Rejects } from './rejects.js';
import { href, route } from './route.js';
import { Settings } from './settings.js';
import { SignIn } from './signin.js';
import { StationPage } from './station.js';
import { groupOf } from './subnav.js';
import { remember, seconds, setTheme, theme, useStore, useStores } from './store.js';
import { TargetsPage } from './targets.js';
import { Unknown } from './unknown.js';
import { Wall } from './wall.js';

/** What lies under the first word of an address; pages that are not in the bar have it as parent. */
const pages = /** @type {const} */ ([
  { part: '', word: 'overview' }, { part: 'coverage', word: 'coverage' }, { part: 'piles', word: 'piles' }, { part: 'operators', word: 'operators' }, { part: 'cases', word: 'cases' }, { part: 'quality', word: 'quality' }, { part: 'targets', word: 'targetsPage' }, { part: 'events', word: 'events' },
]);
/** Pages that not everyone has, and what one must be allowed for them. @type {Record<string, string>} */
const needs = { quality: 'records', rejects: 'records', unknown: 'records', excuses: 'excuses', confirmations: 'decisions', inspections: 'decisions' };
const tabs = /** @type {const} */ (['', 'coverage', 'cases', 'piles']);

/** @param {string} part */
const parentOf = (part) => part === 'pile' || part === 'station' ? 'piles' : groupOf(part);

/** A wall shows the province by itself: ?wall=1. */
const onWall = new URLSearchParams(location.search).get('wall') === '1';

/** @param {any} who @param {string} part */
const has = (who, part) => !needs[part] || may(who, needs[part]);

/** @param {{parts: string[]}} props */
function Page({ parts: [part = '', id = ''] }) {
  const who = useStore(me), home = who && who.home;
  if ((part in needs || part === 'settings') && isStranger(who)) return html`<${SignIn} />`;
  if (!home && part !== 'signin') return null; // the server has not said yet
  if (!has(who, part)) return html`<p class="empty">${t('noRight')} · <a href=${href([])}>${t('notFoundWay')}</a></p>`;
  switch (part) {
    case '': return home.length > 2 ? html`<${Coverage} code=${home} />` : html`<${Overview} division=${home} />`; // the overview is the province's
    case 'coverage': return html`<${Coverage} code=${id || home} />`;
    case 'piles': return html`<${Piles} />`;
    case 'pile': return html`<${PilePage} key=${id} id=${id} />`;
    case 'operators': return html`<${Operators} division=${home} />`;
    case 'excuses': return html`<${Excuses} />`;
    case 'confirmations': return html`<${Confirmations} />`;
    case 'quality': return html`<${Quality} />`;
    case 'station': return html`<${StationPage} key=${id} id=${id} />`;
    case 'inspections': return id ? html`<${InspectionPage} key=${id} id=${id} />` : html`<${InspectionsPage} />`;
    case 'cases': return id ? html`<${CasePage} key=${id} id=${id} />` : html`<${CasesPage} />`;
    case 'rejects': return html`<${Rejects} />`;
    case 'unknown': return html`<${Unknown} />`;
    case 'targets': return html`<${TargetsPage} division=${home} />`;
    case 'events': return html`<${EventsPage} division=${home} />`;
    case 'settings': return html`<${Settings} />`;
    case 'more': return html`<${More} />`;
    case 'signin': return html`<${SignIn} />`;
    default: return html`<p class="empty">${t('notFound')} · <a href=${href([])}>${t('notFoundWay')}</a></p>`;
  }
}

/** Says that the past is simulated, and while it is being judged how much of it is. */
function StoryBar() {
  const who = useStore(me);
  const story = who && who.story;
  const waiting = Boolean(story) && story.percent < 100;
  useEffect(() => {
    const again = waiting ? setInterval(() => whoAmI().catch(() => {}), 2000) : undefined;
    return () => clearInterval(again);
  }, [waiting]);
  return story ? html`<p class="cut-bar demo-bar" role="status">${waiting ? t('storyJudged', { percent: num(story.percent) }) : t('storyBar')}</p>` : null;
}

/** How fresh the page is. */
function LiveState() {
  const [{ state, heard }, now] = useStores([connection, seconds]);
  const stale = heard > 0 && now - heard > STALE_AFTER;
  const word = !heard ? t('connecting') : stale ? t('asOf', { time: clock(heard) }) : t(state === 'live' ? 'live' : 'cut');
  useEffect(() => { document.body.classList.toggle('stale', stale); }, [stale]);
  return html`<span class=${'live-state ' + (state === 'live' && !stale ? 'on' : 'off')}>
    <svg viewBox="0 0 8 8" aria-hidden="true"><circle cx="4" cy="4" r="3" /></svg>
    <span role="status">${word}</span>
    ${heard > 0 && !stale && state === 'live' && html`<span class="age" aria-hidden="true">${Math.max(0, Math.floor((now - heard) / 1000))} s</span>`}</span>`;
}

/** Says that the connection is lost, for as long as it is. */
function CutBar() {
  const [{ state, attempt, heard }, now] = useStores([connection, seconds]);
  if (state === 'live' || attempt < 1) return null;
  return html`<p class="cut-bar">${t('cutLine', { n: num(attempt) })}${heard > 0 && ` · ${t('cutAge', { age: span(now - heard) })}`}</p>`;
}

const Clock = () => html`<time class="clock">${dateAndClock(useStore(seconds))}</time>`;

const otherLang = () => setLang(lang.value === 'zh' ? 'en' : 'zh');

function otherTheme() {
  const name = theme.value === 'dark' ? 'light' : 'dark';
  remember('theme', name);
  setTheme(name);
}

/** What the bar has no room for on a phone. */
function More() {
  const who = useStore(me);
  return html`<section class="panel list more"><h1>${t('more')}</h1>
  ${pages.filter((p) => !tabs.includes(/** @type {any} */ (p.part)) && has(who, p.part)).map((p) => html`<p key=${p.part}><a href=${href([p.part])}>${t(p.word)}</a></p>`)}
  <h2>${t('language')}</h2><${Segments} label=${t('language')} value=${lang.value} choices=${[{ value: 'zh', name: html`<span lang="zh-CN">中文</span>` }, { value: 'en', name: html`<span lang="en">English</span>` }]} onChoose=${setLang} />
  <h2>${t('appearance')}</h2><${Segments} label=${t('appearance')} value=${theme.value} choices=${[{ value: 'light', name: t('toLight') }, { value: 'dark', name: t('toDark') }]} onChoose=${otherTheme} />
  <h2>${t('account')}</h2><p><${Account} /></p></section>`;
}

const Logo = () => html`<svg class="logo" viewBox="0 0 20 20" aria-hidden="true"><rect class="eff" x="1" y="2" width="5" height="16" /><rect class="paper" x="8" y="10" width="5" height="8" /><rect class="none" x="15" y="16" width="4" height="2" /></svg>`;

function App() {
  const [{ parts }, who] = useStores([route, me, lang, theme]);
  const main = useRef(/** @type {any} */ (null));
  const path = parts.join('/'), shown = useRef(path);
  const here = parentOf(parts[0] || '');
  const page = pages.find((p) => p.part === here);
  const mustChange = who !== null && who.must_change;
  const wantsSignIn = who !== null && !who.role || mustChange;

  useEffect(() => { document.title = page && page.part ? `${t(page.word)} · ${t('site')}` : t('site'); }, [here, lang.value]);
  const role = who ? who.must_change ? '' : who.role && [who.role, who.scope, who.name].join(' ') : null, before = useRef(role);
  useEffect(() => {
    if (before.current !== null && before.current !== role) leave(Boolean(role));
    else if (role) connect();
    before.current = role;
  }, [role]);
  useEffect(() => {
    if (shown.current === path) return;
    shown.current = path;
    main.current.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [path]);

  if (onWall && who && !wantsSignIn) return html`<${Wall} division=${who.home} />`;
  return html`<a class="skip" href="#main" onClick=${(/** @type {any} */ e) => { e.preventDefault(); main.current.focus(); }}>${t('skip')}</a>
    <header class="bar">
      <a class="brand" href=${href([])}><${Logo} /><b>${t('site')}</b></a>
      <nav aria-label=${t('pages')}>${!wantsSignIn && pages.filter((p) => has(who, p.part)).map((p) => html`<a key=${p.part} href=${href(p.part ? [p.part] : [])} aria-current=${p.part === here ? 'page' : undefined}>${t(p.word)}${p.part === 'cases' && html`<${OpenCases} />`}</a>`)}</nav>
      ${!wantsSignIn && html`<${LiveState} />`}
      <div class="tools"><${Clock} />
        <button type="button" class="plain" lang=${lang.value === 'zh' ? 'en' : 'zh-CN'} aria-label=${t('toEnglishLabel')} onClick=${otherLang}>${t('toEnglish')}</button>
        <button type="button" class="plain" onClick=${otherTheme}>${t(theme.value === 'dark' ? 'toLight' : 'toDark')}</button>
        <${Account} /></div>
    </header>
    ${!wantsSignIn && html`<${CutBar} />`}
    <div class="demo-lines"><${DemoBar} /><${StoryBar} /></div>
    <main id="main" tabindex="-1" ref=${main}>${mustChange ? html`<${FirstPassword} />` : wantsSignIn ? html`<${SignIn} />` : html`<${Page} parts=${parts} />`}</main>
    ${!wantsSignIn && html`<nav class="tabs" aria-label=${t('pages')}>${[...tabs, 'more'].map((part) => html`<a key=${part} href=${href(part ? [part] : [])}
      aria-current=${part === here || (part === 'more' && !tabs.includes(/** @type {any} */ (here))) ? 'page' : undefined}>${t(/** @type {any} */ (part || 'overview'))}</a>`)}</nav>`}`;
}

document.body.textContent = '';
render(html`<${App} />`, document.body);
whoAmI().catch(() => connect()); // without an answer the connection's state says so
