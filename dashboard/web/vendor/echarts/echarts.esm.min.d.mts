// What the page uses of echarts.esm.min.mjs, for // @ts-check; not part of the package.
export function init(element: Element, theme: null, options: { renderer: 'canvas' }): any;
export function registerMap(name: string, geoJSON: any): void;
