// @ts-check
// Runs before the first paint, so that a chosen theme and language do not flash the other one first.
(() => {
  const root = document.documentElement;
  const theme = localStorage.getItem('theme');
  if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
  root.lang = localStorage.getItem('lang') === 'en' ? 'en' : 'zh-CN';
})();
