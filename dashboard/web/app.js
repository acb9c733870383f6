// @ts-check
import { html, render } from './vendor/htm/standalone.mjs';

render(html`<main><h1>山东充电设施监测</h1></main>`, document.body);
