// @ts-check
import { html, useState } from './vendor/htm/standalone.mjs';
import { Form, may } from './account.js';
import { me, post, useGet } from './api.js';
import { Failed, Reading } from './figure.js';
import { moment, NO_DATA, num } from './format.js';
import { t } from './i18n.js';
import { useStore } from './store.js';
import { SubNav } from './subnav.js';

/** Registers a pile that sends and is not known. @param {{pile: any, onDone: () => void, onCancel: () => void}} props */
function Register({ pile, onDone, onCancel }) {
  const send = async (/** @type {any} */ form) => {
    const { station, power, connectors, dc } = form.elements;
    await post('piles', { operator: pile.operator, station: station.value.trim(), pile: pile.pile, dc: dc.value === 'dc', power_kw: Number(power.value), connectors: Number(connectors.value) });
    onDone();
  };
  return html`<${Form} class="line decide" label=${t('register')} send=${send}>
    <label for="reg-station">${t('stationIdOf')}</label><input id="reg-station" name="station" required maxlength="64" autocomplete="off" />
    <label for="reg-dc">${t('type')}</label><select id="reg-dc" name="dc"><option value="dc">${t('dc')}</option><option value="ac">${t('ac')}</option></select>
    <label for="reg-power">kW</label><input id="reg-power" name="power" type="number" min="0.1" max="2000" step="any" required />
    <label for="reg-connectors">${t('connectors')}</label><input id="reg-connectors" name="connectors" type="number" min="1" max="20" defaultValue="1" required />
    <button type="button" class="link" onClick=${onCancel}>${t('cancel')}</button><//>`;
}

/** Piles that send and are not registered. */
export function Unknown() {
  const who = useStore(me);
  const { data, error, retry } = useGet('unknown', { limit: 500 }, 10_000);
  const [open, setOpen] = useState(''), [done, setDone] = useState('');
  return html`<${SubNav} part="unknown" /><section class="panel list" aria-labelledby="unknown-title">
    <header><h1 id="unknown-title">${t('unknown')}</h1><p>${t('unknownNote')}</p></header>
    ${done && html`<p role="status">${t('isRegistered', { id: done })}</p>`}
    ${error && !data ? html`<${Failed} error=${error} retry=${retry} />` : !data && html`<${Reading} />`}
    ${data && !data.piles.length && html`<p class="empty">${t('noUnknown')}</p>`}
    ${data && data.piles.length > 0 && html`<table class="rows ledger unknown" aria-labelledby="unknown-title"><thead><tr><th scope="col">${t('pile')}</th><th scope="col">${t('firstSeen')}</th><th scope="col">${t('lastSeen')}</th><th scope="col" class="n">${t('count')}</th><th scope="col">${t('detail')}</th>${may(who, 'decisions') && html`<th scope="col" class="n">${t('actions')}</th>`}</tr></thead>
      <tbody>${data.piles.map((/** @type {any} */ p) => html`<tr key=${p.id} data-pile=${p.id}><th scope="row">${p.id}</th><td class="quiet">${moment(p.first)}</td><td class="main">${moment(p.last)}</td><td class="n">${num(p.count)}</td><td class="sub"><span class="quiet">${p.topic}</span>${p.sample ? html`<code>${p.sample}</code>` : NO_DATA}</td>
        ${may(who, 'decisions') && html`<td class="n sub wide-cell">${open === p.id ? html`<${Register} pile=${p} onDone=${() => { setDone(p.id); setOpen(''); retry(); }} onCancel=${() => setOpen('')} />` : html`<button type="button" class="link" aria-label=${t('registerOf', { id: p.id })} onClick=${() => setOpen(p.id)}>${t('register')}</button>`}</td>`}</tr>`)}</tbody></table>`}
    ${data && data.beyond > 0 && html`<p class="footnote">${t('unknownBeyond', { n: num(data.beyond) })}</p>`}
  </section>`;
}
