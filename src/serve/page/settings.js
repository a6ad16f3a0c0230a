// What the reader has chosen, kept in this browser (localStorage).

import {defaultOptions} from './options.js';

/**
 * @typedef {import('./options.js').Options & {theme: string, isShaded: boolean, closed: string[]}} Settings
 *   Its options are those of new conversations. `closed`: panels that have a place beside the
 *   conversation and are not shown there.
 */

const KEY = 'dms-settings';
const defaults = () => ({...defaultOptions(), theme: 'auto', isShaded: false, closed: []});

/** @returns {Settings} */
export function loadSettings() {
  try {
    return {...defaults(), ...JSON.parse(localStorage.getItem(KEY) ?? '{}')};
  } catch {
    return defaults();
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
