// @ts-check
import { html, useEffect, useRef, useState } from './vendor/htm/standalone.mjs';
import { me, post, useGet } from './api.js';
import { problemText } from './account.js';
import { caseHref, daysUntil, Trial } from './cases.js';
import { Failed, Reading } from './figure.js';
import { clock, day, moment, NO_DATA, num, percent, pileNumber } from './format.js';
import { t, term, Zh } from './i18n.js';
import { href, pileHref } from './route.js';
import { useStore } from './store.js';
import { Strip } from './strip.js';

const REFRESH = 15_000;

/** 11 月 30 日 24:00: a deadline is the end of a day. @param {string} time */
function deadlineText(time) {
  const [, m, d] = day(Date.parse(time) - 1000).split('-');
  return t('caseUntil', { month: String(Number(m)), day: String(Number(d)) });
}

/** @param {string} hash */
const short = (hash) => hash ? `${hash.slice(0, 4)}…${hash.slice(-4)}` : '';

/** The period after service, a mark a day. @param {{c: any}} props */
function Deadline({ c }) {
  if (c.deadline && c.state === 'check') {
    return html`<section aria-labelledby="due-title"><h2 id="due-title">${t('casePeriod')}</h2><p class="due"><b>${num(Math.max(0, daysUntil(c.deadline)))}</b> ${t('caseCheckBy', { at: deadlineText(c.deadline) })}</p></section>`;
  }
  if (!c.deadline || c.state !== 'notified') {
    return html`<section aria-labelledby="due-title"><h2 id="due-title">${t('casePeriod')}</h2>
      <p class="due-state"><b>${term('case_', c.state)}</b></p><p class="caption">${c.deadline ? t('casePassedOn', { at: deadlineText(c.deadline) }) : t(c.state === 'notified' ? 'caseNotServed' : 'caseNoPeriod')}${c.escalated && ` · ${t('caseEscalated')}`}</p></section>`;
  }
  const left = Math.max(0, daysUntil(c.deadline)), all = Math.max(1, Math.floor((Date.parse(c.deadline) - Date.parse(c.served)) / 86400e3));
  const used = Math.min(all, Math.max(0, all - left));
  return html`<section aria-labelledby="due-title"><h2 id="due-title">${t('casePeriod')}</h2>
    <p class="due"><b>${num(left)}</b> ${t('caseDueIn', { at: deadlineText(c.deadline) })}</p>
    <svg class="period" viewBox=${`0 0 ${all * 8} 12`} preserveAspectRatio="none" aria-hidden="true">${Array.from({ length: all }, (_, i) => html`<rect key=${i} class=${i < used ? 'used' : 'left'} x=${i * 8} y=${i < used ? 0 : 10} width="7" height=${i < used ? 12 : 2} />`)}</svg>
    <p class="caption between"><span>${day(Date.parse(c.served)).slice(5)}</span><span>${t('caseUsed', { n: num(used), all: num(all) })}</span></p></section>`;
}

/** What was done, and what may come. @param {{c: any}} props */
function Steps({ c }) {
  const done = c.record.filter((/** @type {any} */ e) => e.action !== 'read');
  const last = done.length - 1;
  /** @type {Record<string, string[]>} */
  const ahead = { check: ['suspected'], suspected: ['notified', 'overdue', 'confirmed'], notified: ['overdue', 'confirmed', 'reviewed'], overdue: ['confirmed', 'reviewed', 'decommissioned'], confirmed: ['reviewed', 'decommissioned'], reviewed: ['decommissioned'] };
  return html`<section aria-labelledby="steps-title"><header><h2 id="steps-title">${t('caseSteps')}</h2><p>${t('caseStepsNote')}</p></header>
    <ol class="steps">${done.map((/** @type {any} */ e, /** @type {number} */ i) => html`<li key=${e.seq} class=${i === last ? 'now' : 'done'} data-step=${e.action}>
      <b>${e.from !== e.to ? term('case_', e.to) : term('action_', e.action)}</b>
      <p>${moment(e.at)} · ${e.role === 'platform' ? t('caseSystem') : `${e.name || e.person}（${term('caserole_', e.role)}）`} · ${term('action_', e.action)}</p>
      ${e.role !== 'platform' && e.text && html`<p class="said"><${Zh}>${e.text}<//></p>`}
      ${e.detail && e.detail.effects && html`<p>${t('caseEffects', { before: num(e.detail.effects.nominal_before), after: num(e.detail.effects.nominal_after), eb: num(e.detail.effects.effective_before), ea: num(e.detail.effects.effective_after) })}</p>`}
      <small class="hash">${short(e.hash)}</small></li>`)}
      ${(ahead[c.state] || []).map((s) => html`<li key=${s} class="ahead"><span>${term('case_', s)}</span></li>`)}</ol></section>`;
}

/** What an action will do, in figures and before it is done. @param {any} c @param {any} a */
function consequence(c, a) {
  const e = c.effects;
  if (e && ['decommission', 'restore', 'revoke'].includes(a.action)) {
    return t('caseWill', { before: num(e.nominal_before), after: num(e.nominal_after), eb: num(e.effective_before), ea: num(e.effective_after) }) + (e.last_station && a.action === 'decommission' ? t('caseWillLast', { town: c.township_name }) : '');
  }
  if (a.action === 'notify') return t('caseWillNotify', { n: num(c.period_days) });
  if (a.action === 'extend') return t('caseWillExtend', { n: num(c.period_days) });
  return a.next !== c.state ? t('caseWillBecome', { state: term('case_', a.next) }) : t('caseWillStay', { state: term('case_', c.state) });
}

const today = () => day(Date.now());

/**
 * Asks for what an action needs. The focus is on cancel: nothing is done by a key too many.
 * @param {{c: any, a: any, onDone: () => void, onClose: () => void}} props
 */
function Dialog({ c, a, onDone, onClose }) {
  const dialog = useRef(/** @type {any} */ (null)), cancel = useRef(/** @type {any} */ (null));
  const [failure, setFailure] = useState('');
  const [busy, setBusy] = useState(false);
  useEffect(() => { dialog.current.showModal(); cancel.current.focus(); }, []);
  const given = c.record.filter((/** @type {any} */ e) => e.action === 'state').flatMap((/** @type {any} */ e) => (e.detail && e.detail.arguments) || [e.text]);
  const send = async (/** @type {any} */ e) => {
    e.preventDefault();
    const f = e.target.elements, on = (/** @type {string} */ v) => v === today() ? new Date(Date.now() - 60e3).toISOString() : v + 'T12:00:00+08:00';
    const body = /** @type {any} */ ({ seen: c.step, text: f.text.value.trim() });
    if (a.action === 'serve') body.service = { kind: f.kind.value, on: on(f.on.value), evidence: f.evidence.value.trim(), consent: f.consent.value.trim(), failed: f.unserved.checked };
    if (a.action === 'inspect') body.inspection = { at: on(f.on.value), officers: [f.first.value.trim(), f.second.value.trim()].filter(Boolean), photo: f.photo.value.trim(), test_wh: Math.round(Number(f.test.value || 0) * 1000), test_failed: f.testfailed.checked };
    if (a.action === 'state') body.arguments = body.text.split('\n').map((/** @type {string} */ s) => s.trim()).filter(Boolean);
    if (a.action === 'confirm') body.answers = given.map((/** @type {string} */ _, /** @type {number} */ i) => f['answer' + i].value.trim());
    if (a.action === 'dismiss' && f.until.value) body.until = f.until.value;
    setBusy(true);
    try {
      await post(`cases/${c.id}/${a.action}`, body);
      onDone();
    } catch (err) {
      setBusy(false);
      setFailure(problemText(/** @type {any} */ (err)));
    }
  };
  const grave = a.action === 'decommission';
  return html`<dialog class="act" ref=${dialog} onClose=${onClose} aria-labelledby="act-title"><form onSubmit=${send} class="act-form">
    <h2 id="act-title">${term('action_', a.action)} · ${c.id}</h2>
    <p class="will">${consequence(c, a)}</p>
    ${a.action === 'serve' && html`<label for="act-kind">${t('serveKind')}</label><select id="act-kind" name="kind">${['direct', 'electronic', 'left', 'post', 'public_notice'].map((k) => html`<option key=${k} value=${k}>${term('serve_', k)}</option>`)}</select>
      <label for="act-on">${t('serveOn')}</label><input id="act-on" name="on" type="date" required max=${today()} defaultValue=${today()} />
      <label for="act-evidence">${t('serveEvidence')}</label><input id="act-evidence" name="evidence" required maxlength="200" />
      <label for="act-consent">${t('serveConsent')}</label><input id="act-consent" name="consent" maxlength="200" />
      <label class="check"><input type="checkbox" name="unserved" /> ${t('serveFailed')}</label>`}
    ${a.action === 'inspect' && html`<label for="act-on">${t('inspectOn')}</label><input id="act-on" name="on" type="date" required max=${today()} defaultValue=${today()} />
      <label for="act-first">${t('inspectOfficers')}</label><span class="pair"><input id="act-first" name="first" required maxlength="64" /><input name="second" aria-label=${t('inspectSecond')} maxlength="64" /></span>
      <label for="act-photo">${t('inspectPhoto')}</label><input id="act-photo" name="photo" maxlength="200" />
      <label for="act-test">${t('inspectTest')}</label><input id="act-test" name="test" type="number" min="0" max="1000" step="0.001" />
      <label class="check"><input type="checkbox" name="testfailed" /> ${t('inspectTestFailed')}</label>`}
    ${a.action === 'confirm' && given.map((/** @type {string} */ said, /** @type {number} */ i) => html`<label key=${i} for=${'act-answer' + i}>${t('caseAnswerTo')} <q><${Zh}>${said}<//></q></label><input id=${'act-answer' + i} name=${'answer' + i} required maxlength="300" />`)}
    ${a.action === 'dismiss' && html`<label for="act-until">${t('dismissUntil')}</label><input id="act-until" name="until" type="date" />`}
    <label for="act-text">${t(a.action === 'state' ? 'caseStatementText' : a.action === 'serve' || a.action === 'extend' ? 'caseNote' : 'caseReason')}</label>
    <textarea id="act-text" name="text" rows="3" maxlength="1000" required=${a.action !== 'serve'}></textarea>
    ${failure && html`<p class="failed" role="alert">${failure}</p>`}
    <p class="buttons"><button type="button" ref=${cancel} class=${grave ? 'filled' : 'quiet'} onClick=${() => dialog.current.close()}>${t('cancel')}</button>
      <button type="submit" class=${grave ? 'quiet' : 'filled'} disabled=${busy}>${term('action_', a.action)}</button></p></form></dialog>`;
}

/** @param {{c: any, retry: () => void}} props */
function Actions({ c, retry }) {
  const [open, setOpen] = useState(/** @type {any} */ (null));
  if (!c.actions.length) return html`<p class="caption">${t('caseNoActions')}</p>`;
  return html`<section class="case-actions" aria-label=${t('actions')}>
    ${c.actions.map((/** @type {any} */ a) => a.missing ? html`<button key=${a.action} type="button" class="later" aria-disabled="true" data-action=${a.action} title=${a.missing_zh}>${term('action_', a.action)}<small>${term('need_', a.missing)}</small></button>`
      : html`<button key=${a.action} type="button" class="quiet" data-action=${a.action} onClick=${() => setOpen(a)}>${term('action_', a.action)}…</button>`)}
    ${c.effects && c.state !== 'decommissioned' && html`<p class="caption">${t('caseIfOut', { before: num(c.effects.nominal_before), after: num(c.effects.nominal_after) })}</p>`}
    ${open && html`<${Dialog} key=${open.action} c=${c} a=${open} onDone=${() => { setOpen(null); retry(); }} onClose=${() => setOpen(null)} />`}</section>`;
}

/** Spans in which a rule's clock ran: broken on days that were excused whole. @param {any} c @param {any} ground */
function clockSpans(c, ground) {
  const spans = /** @type {{from: string, until: string}[]} */ ([]);
  const next = (/** @type {string} */ d) => new Date(Date.parse(d) + 86400e3).toISOString().slice(0, 10);
  const from = day(Date.parse(ground.from));
  for (const d of c.days) {
    const runs = d.date >= from && d.usable_min + d.out_min + d.unknown_min > d.excused_min;
    const last = spans[spans.length - 1];
    if (runs && last && last.until === d.date) last.until = next(d.date);
    else if (runs) spans.push({ from: d.date, until: next(d.date) });
  }
  return spans;
}

/** One case: its days, what it rests on, what was done, what may be done. @param {{id: string}} props */
export function CasePage({ id }) {
  const who = useStore(me);
  const { data: c, error, retry } = useGet('cases/' + encodeURIComponent(id), {}, REFRESH);
  if (error && !c) return html`<${Failed} error=${error} retry=${retry} />`;
  if (!c) return html`<${Reading} />`;
  const sum = (/** @type {string} */ k) => c.days.reduce((/** @type {number} */ n, /** @type {any} */ d) => n + d[k], 0);
  const usable = sum('usable_min'), known = usable + sum('out_min'), all = known + sum('unknown_min'), hours = (/** @type {number} */ m) => num(m / 60, 1) + ' h';
  const first = c.dossier.grounds.reduce((/** @type {any} */ a, /** @type {any} */ g) => !a || g.from < a.from ? g : a, null);
  const notified = c.record.find((/** @type {any} */ e) => e.action === 'notify');
  const flags = [{ date: day(Date.parse(first.from)), text: t('flagFirst') }, { date: day(Date.parse(c.dossier.frozen)), text: t('flagSuspected') }, ...notified ? [{ date: day(Date.parse(notified.at)), text: t('flagNotified') }] : []];
  const spans = clockSpans(c, first), ran = spans.reduce((n, s) => n + Math.round((Date.parse(s.until) - Date.parse(s.from)) / 86400e3), 0);
  const clocks = [{ name: t('clockRule', { rule: term('rule_', first.rule), n: num(ran) }), kind: 'rule', spans }];
  if (c.served) clocks.push({ name: t('clockPeriod'), kind: 'period', spans: [{ from: day(Date.parse(c.served)), until: day(Math.min(Date.now(), Date.parse(c.deadline))) }] });
  const statements = c.record.filter((/** @type {any} */ e) => e.action === 'state');
  const base = '/api/v1/cases/' + c.id;
  return html`<article class="case" data-case=${c.id} data-state=${c.state}>
    <${Trial} document=${c.document} />
    <header class="title-line"><nav class="crumbs" aria-label=${t('pages')}><a href=${href(['cases'])}>${t('cases')}</a> › <span>${c.id}</span></nav>
      <h1><${Zh}>${c.station_name}<//> · ${t('pileNo', { n: pileNumber(c.pile) })} <small class="case-state">${term('case_', c.state)}</small></h1>
      <p class="meta"><${Zh}>${c.county_name} ${c.township_name}<//> · <${Zh}>${c.operator_name}<//> (${c.operator}) · ${t('caseSerial')} ${c.serial || NO_DATA} · <a href=${pileHref(c.pile)}>${c.pile}</a></p></header>
    <aside><${Deadline} c=${c} /><${Steps} c=${c} /><${Actions} c=${c} retry=${retry} /></aside>
    <div class="main-column">
      <section aria-labelledby="strip-title"><header><h2 id="strip-title">${t('last90')}</h2><p>${t('last90Note')}</p></header>
        <${Strip} days=${c.days} flags=${flags} clocks=${clocks} label=${t('last90')} /></section>
      <dl class="four"><div><dt>${t('availOurs')}</dt><dd>${percent(usable, all)}</dd><dd class="caption">${t('availOursNote')}</dd></div>
        <div><dt>${t('availKnown')}</dt><dd>${percent(usable, known)}</dd><dd class="caption">${t('availKnownNote')}</dd></div>
        <div><dt>${t('excused90')}</dt><dd>${hours(sum('excused_min'))}</dd><dd class="caption">${t('excused90Note')}</dd></div>
        <div><dt>${t('clockOf', { rule: term('rule_', first.rule) })}</dt><dd>${t('days', { n: num(ran) })}</dd><dd class="caption">${t('clockNote')}</dd></div></dl>
      <section aria-labelledby="evidence-title"><header><h2 id="evidence-title">${t('caseEvidence')}</h2><p>${t('casePolicy', { version: c.policy })}</p></header>
        <table class="rows evidence" aria-labelledby="evidence-title"><tbody>${c.dossier.grounds.map((/** @type {any} */ g) => html`<tr key=${g.rule}><th scope="row">${day(Date.parse(g.from)).slice(5)} ${t('to')} ${day(Date.parse(g.until) - 1000).slice(5)}</th>
          <td>${term('ruletext_', g.rule)}</td><td class="n">${t('groundHours', { usable: hours(g.usable_min), out: hours(g.out_min), unknown: hours(g.unknown_min) })}</td></tr>`)}
          ${c.excuses.map((/** @type {any} */ e) => html`<tr key=${'e' + e.id}><th scope="row">${moment(e.from)}</th><td>${term('excuse_', e.kind)} · ${term('excuseState_', e.state)}${e.cause && ` · ${e.cause}`}</td><td class="n">${hours((Date.parse(e.until) - Date.parse(e.from)) / 60e3)}</td></tr>`)}</tbody></table>
        <p class="caption">${t('notOnSite')}</p></section>
      <section aria-labelledby="said-title"><header><h2 id="said-title">${t('caseStatements')}</h2></header>
        ${statements.length === 0 ? html`<p class="empty">${t('caseNoStatement')}</p>` : html`<table class="rows"><tbody>${statements.map((/** @type {any} */ e) => html`<tr key=${e.seq}><th scope="row">${moment(e.at)}</th><td><${Zh}>${e.text}<//></td></tr>`)}</tbody></table>`}</section>
      <section aria-labelledby="papers-title"><header><h2 id="papers-title">${t('casePapers')}</h2></header>
        <p class="papers">${['notice', 'decision', 'dossier'].map((d) => html`<a key=${d} href=${`${base}/documents/${d}`} target="_blank" rel="noopener">${term('doc_', d)}</a> `)}<a href=${`${base}/file`} download>${t('caseArchive')}</a></p>
        <p class="caption">${t('dossierHash')}<code>${c.sha256}</code></p></section>
    </div></article>`;
}
