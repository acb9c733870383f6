// @ts-check
import { html, useState } from './vendor/htm/standalone.mjs';
import { Form } from './account.js';
import { me, post, useGet } from './api.js';
import { caseHref } from './cases.js';
import { Failed, Reading } from './figure.js';
import { day, moment, num } from './format.js';
import { t, Zh } from './i18n.js';
import { href, pileHref } from './route.js';
import { useStore } from './store.js';
import { SubNav } from './subnav.js';

/** Draws piles and inspectors. @param {{onDone: () => void}} props */
function Draw({ onDone }) {
  const who = useStore(me);
  const send = async (/** @type {any} */ form) => {
    const f = form.elements;
    await post('inspections', { division: f.division.value.trim(), count: Number(f.count.value), inspectors: f.people.value.split(/[\n,，、;；]/), seed: f.seed.value.trim() });
    form.reset();
    onDone();
  };
  return html`<section class="panel" aria-labelledby="draw-title"><header><h2 id="draw-title">${t('draw')}</h2><p>${t('drawNote')}</p></header>
    <${Form} class="line" label=${t('drawSend')} send=${send}>
      <label for="draw-division">${t('drawDivision')}</label><input id="draw-division" name="division" required pattern="[0-9]{2,9}" defaultValue=${who ? who.scope || who.home : ''} autocomplete="off" />
      <label for="draw-count">${t('drawCount')}</label><input id="draw-count" name="count" type="number" required min="1" max="500" defaultValue="10" />
      <label for="draw-people">${t('drawPeople')}</label><textarea id="draw-people" name="people" rows="2" required maxlength="2000"></textarea>
      <label for="draw-seed">${t('drawSeed')}</label><input id="draw-seed" name="seed" maxlength="100" autocomplete="off" placeholder=${t('drawSeedOwn')} /><//></section>`;
}

/** All draws of one's scope. */
export function InspectionsPage() {
  const who = useStore(me);
  const { data, error, retry } = useGet('inspections', {}, 30_000);
  return html`<${SubNav} part="inspections" /><section class="panel list inspections" aria-labelledby="inspections-title">
    <header><h1 id="inspections-title">${t('inspections')}</h1><p>${t('inspectionsNote')}</p></header>
    ${error && !data && html`<${Failed} error=${error} retry=${retry} />`}${!error && !data && html`<${Reading} />`}
    ${data && data.draws.length === 0 && html`<p class="empty">${t('inspectionsNone')}</p>`}
    ${data && data.draws.length > 0 && html`<table class="rows" aria-labelledby="inspections-title"><thead><tr><th scope="col">${t('drawNo')}</th><th scope="col">${t('drawnAt')}</th><th scope="col">${t('drawDivision')}</th><th scope="col">${t('drawBy')}</th><th scope="col" class="n">${t('drawDone')}</th></tr></thead>
      <tbody>${data.draws.map((/** @type {any} */ d) => html`<tr key=${d.id} data-draw=${d.id}><th scope="row"><a href=${href(['inspections', d.id])}>${d.id}</a></th><td>${moment(d.at)}</td><td><${Zh}>${d.place}<//></td><td>${d.by}</td><td class="n">${num(d.found)} / ${num(d.count)}</td></tr>`)}</tbody></table>`}
  </section>${who && who.role === 'officer' && html`<${Draw} onDone=${retry} />`}`;
}

/** What was found at a pile. @param {{draw: string, pick: any, onDone: () => void}} props */
function Record({ draw, pick, onDone }) {
  const [open, setOpen] = useState(false);
  if (!open) return html`<button type="button" class="link" onClick=${() => setOpen(true)}>${t('inspectionRecord')}</button>`;
  const today = day(Date.now()), id = pick.pile.replace(/[^A-Za-z0-9]/g, '-');
  const send = async (/** @type {any} */ form) => {
    const f = form.elements;
    const at = f.on.value === today ? new Date(Date.now() - 60e3).toISOString() : f.on.value + 'T12:00:00+08:00';
    await post(`inspections/${draw}/${pick.pile}`, { at, photo: f.photo.value.trim(), test_wh: Math.round(Number(f.test.value || 0) * 1000), test_failed: f.failed.checked, text: f.text.value.trim() });
    onDone();
  };
  return html`<${Form} class="line" label=${t('inspectionRecord')} send=${send}>
    <label for=${'on-' + id}>${t('inspectOn')}</label><input id=${'on-' + id} name="on" type="date" required max=${today} defaultValue=${today} />
    <label for=${'photo-' + id}>${t('inspectPhoto')}</label><input id=${'photo-' + id} name="photo" maxlength="200" autocomplete="off" />
    <label for=${'test-' + id}>${t('inspectTest')}</label><input id=${'test-' + id} name="test" type="number" min="0" max="1000" step="0.001" />
    <label class="check"><input type="checkbox" name="failed" /> ${t('inspectTestFailed')}</label>
    <label for=${'text-' + id}>${t('inspectionText')}</label><input id=${'text-' + id} name="text" required maxlength="1000" autocomplete="off" />
    <button type="button" class="link" onClick=${() => setOpen(false)}>${t('cancel')}</button><//>`;
}

/** A draw: its seed, its lists, its piles. @param {{id: string}} props */
export function InspectionPage({ id }) {
  const who = useStore(me);
  const { data, error, retry } = useGet('inspections/' + id, {}, 30_000);
  if (error && !data) return html`<${Failed} error=${error} retry=${retry} />`;
  if (!data) return html`<${Reading} />`;
  return html`<${SubNav} part="inspections" /><section class="panel list inspections" aria-labelledby="draw-title">
    <header><h1 id="draw-title">${t('inspections')} ${data.id}</h1><p><${Zh}>${data.place}<//> · ${moment(data.at)} · ${data.by}</p></header>
    <p class="caption">${t('drawAgain', { n: num(data.from) })} <code>${data.seed}</code> · <a href=${`/api/v1/inspections/${data.id}/list`} target="_blank" rel="noopener">${t('drawList')}</a> · ${t('drawPeople')} ${data.inspectors.join('、')}</p>
    <table class="rows" aria-labelledby="draw-title"><thead><tr><th scope="col">${t('pile')}</th><th scope="col">${t('caseWhere')}</th><th scope="col">${t('operator')}</th><th scope="col">${t('inspectOfficers')}</th><th scope="col">${t('inspectionText')}</th></tr></thead>
      <tbody>${data.picks.map((/** @type {any} */ p) => html`<tr key=${p.pile} data-pile=${p.pile}><th scope="row"><a href=${pileHref(p.pile)}>${p.pile}</a></th><td><${Zh}>${p.township_name} · ${p.station_name}<//></td><td><${Zh}>${p.operator_name}<//></td><td>${p.inspectors.join('、')}</td>
        <td>${p.finding ? html`${moment(p.finding.at)} · <${Zh}>${p.text}<//>${p.finding.test_wh > 0 && ` · ${num(p.finding.test_wh / 1000)} kWh`}${p.finding.test_failed && ` · ${t('inspectTestFailed')}`}${p.case && html` · <a href=${caseHref(p.case)}>${p.case}</a>`}` : who && who.role === 'officer' ? html`<${Record} draw=${data.id} pick=${p} onDone=${retry} />` : t('inspectionNotYet')}</td></tr>`)}</tbody></table>
  </section>`;
}
