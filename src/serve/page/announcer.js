// Tells screen readers what those who see it see: not every token, but when an answer has come.

import {byId} from './dom.js';

const LONGEST = 600;

export function announce(text) {
  byId('announcer').textContent = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
