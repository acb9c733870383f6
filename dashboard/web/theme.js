// @ts-check
// Runs before the first paint, so that a chosen theme and language do not flash the other one first.
(() => {
  const root = document.documentElement;
  let theme = null, lang = null;
  try {
    theme = localStorage.getItem('theme');
    lang = localStorage.getItem('lang');
  } catch {
    // The browser keeps nothing for this page; then its own settings hold.
  }
  root.dataset.theme = theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
  root.lang = lang === 'en' ? 'en' : 'zh-CN';
})();
