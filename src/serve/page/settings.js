// What the reader has chosen, kept in this browser (localStorage).

/**
 * How a cache is kept; empty: as the server does.
 * @typedef {{policy: string, args: Object<string, string>}} CacheChoice
 */

const KEY = 'dms-settings';
const DEFAULTS = {
  theme: 'auto',
  system: '',
  sampling: {},  // texts by API name; empty: the server's
  caches: [{policy: '', args: {}}, {policy: 'none', args: {}}],
  compares: false,
  isShaded: false,
};

export function loadSettings() {
  try {
    return {...structuredClone(DEFAULTS), ...JSON.parse(localStorage.getItem(KEY) ?? '{}')};
  } catch {
    return structuredClone(DEFAULTS);
  }
}

export function saveSettings(settings) {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Full or forbidden: they last as long as the page.
  }
}

export function applyTheme(theme) {
  document.documentElement.style.colorScheme = theme === 'auto' ? 'light dark' : theme;
}
