// Markdown within a paragraph, as a tree. Every search for a closing mark that finds none is done
// once for its mark, so that a text made to be slow is not.

import {formulaAt} from './markdown_math.js';

/**
 * @typedef {{kind: 'text'|'code', text: string}
 *   | import('./markdown_math.js').Formula
 *   | {kind: 'strong'|'em'|'del', children: Inline[]}
 *   | {kind: 'link', href: string, children: Inline[]}
 *   | {kind: 'break'}} Inline
 */

const MARKS = [
  ['**', 'strong'],
  ['__', 'strong'],
  ['~~', 'del'],
  ['*', 'em'],
  ['_', 'em'],
];
const SPECIAL = /[\\$`*_~[!<h\n]/g;  // where something else than plain text may begin
const DEEPEST = 8;
const LONGEST_LINK = 2000;
const isWord = (letter) => letter !== undefined && /[\p{L}\p{N}_]/u.test(letter);

/** The link's address if it is one that may be followed, else null. */
export function safeAddress(text) {
  try {
    const url = new URL(text.trim());
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** @returns {Inline[]} */
export function parseInline(text, depth = 0) {
  const out = [];
  const missing = new Set();
  let plain = '';
  let at = 0;
  const push = (node, end) => {
    if (plain) out.push({kind: 'text', text: plain});
    plain = '';
    out.push(node);
    at = end;
  };
  while (at < text.length) {
    const found = depth < DEEPEST ? special(text, at, depth, missing) : null;
    if (found) push(found.node, found.end);
    else if (text[at] === '\\' && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? '')) {
      plain += text[at + 1];
      at += 2;
    } else {
      SPECIAL.lastIndex = at + 1;
      const next = SPECIAL.exec(text)?.index ?? text.length;
      plain += text.slice(at, next);
      at = next;
    }
  }
  if (plain) out.push({kind: 'text', text: plain});
  return out;
}

function special(text, at, depth, missing) {
  switch (text[at]) {
    case '\\':
      if (text[at + 1] === '\n') return {node: {kind: 'break'}, end: at + 2};
      return formulaAt(text, at, missing);
    case '$':
      return formulaAt(text, at, missing);
    case '\n':
      return text.slice(at - 2, at) === '  ' ? {node: {kind: 'break'}, end: at + 1} : null;
    case '`':
      return codeSpan(text, at, missing);
    case '!':
    case '[':
      return link(text, at, depth, missing);
    case '<':
    case 'h':
      return bareLink(text, at);
    case '*':
    case '_':
    case '~':
      return marked(text, at, depth, missing);
    default:
      return null;
  }
}

function codeSpan(text, at, missing) {
  let end = at;
  while (text[end] === '`') ++end;
  const ticks = text.slice(at, end);
  if (missing.has(ticks)) return {node: {kind: 'text', text: ticks}, end};
  for (let close = text.indexOf(ticks, end); close >= 0; ) {
    let after = close + ticks.length;
    if (text[after] !== '`') {
      const inner = text.slice(end, close).replace(/\n/g, ' ');
      const isPadded = inner.length > 2 && inner.startsWith(' ') && inner.endsWith(' ');
      return {node: {kind: 'code', text: isPadded ? inner.slice(1, -1) : inner}, end: after};
    }
    while (text[after] === '`') ++after;
    close = text.indexOf(ticks, after);
  }
  missing.add(ticks);
  return {node: {kind: 'text', text: ticks}, end};
}

/** [words](address); an image is a link to it. */
function link(text, at, depth, missing) {
  const open = text[at] === '!' ? at + 1 : at;
  if (text[open] !== '[' || missing.has('](')) return null;
  if (!(missing.middle > open)) missing.middle = text.indexOf('](', open);
  const middle = missing.middle;
  if (middle < 0) missing.add('](');
  if (middle < 0 || middle - open > LONGEST_LINK) return null;
  let end = middle + 2;
  for (let depthOfBrackets = 0; end < text.length && end - middle < LONGEST_LINK; ++end) {
    if (text[end] === '\n') return null;
    if (text[end] === '(') ++depthOfBrackets;
    if (text[end] === ')' && depthOfBrackets-- === 0) break;
  }
  if (text[end] !== ')') return null;
  const href = safeAddress(text.slice(middle + 2, end).split(/\s+"/)[0]);
  if (!href) return null;
  const children = parseInline(text.slice(open + 1, middle), depth + 1);
  return {node: {kind: 'link', href, children}, end: end + 1};
}

function bareLink(text, at) {
  const isBracketed = text[at] === '<';
  if (!isBracketed && isWord(text[at - 1])) return null;
  const begin = isBracketed ? at + 1 : at;
  if (!/^https?:\/\//.test(text.slice(begin, begin + 8))) return null;
  let end = begin;
  while (end < text.length && end - begin < LONGEST_LINK && !/[\s<>"'`]/.test(text[end])) ++end;
  if (isBracketed && text[end] !== '>') return null;
  if (!isBracketed) while (/[.,;:!?)\]*_]/.test(text[end - 1])) --end;
  const words = text.slice(begin, end);
  const href = safeAddress(words);
  if (!href) return null;
  const node = {kind: 'link', href, children: [{kind: 'text', text: words}]};
  return {node, end: isBracketed ? end + 1 : end};
}

/** Begin and end of what closes nothing: each formula, piece of code and letter after a backslash. */
function literalsOf(text) {
  const literals = [];
  const missing = new Set();
  for (let at = 0; at < text.length; ) {
    const found = text[at] === '`' ? codeSpan(text, at, missing)
      : text[at] === '$' || text[at] === '\\' ? formulaAt(text, at, missing) : null;
    const end = found?.end ?? at + (text[at] === '\\' ? 2 : 1);
    if (end - at > 1 && found?.node.kind !== 'text') literals.push([at, end]);
    at = end;
  }
  return literals;
}

/** Where the literal ends that holds `at`; else -1. */
function literalEnd(literals, at) {
  let [low, high] = [0, literals.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (literals[middle][1] <= at) low = middle + 1;
    else high = middle;
  }
  return low < literals.length && literals[low][0] <= at ? literals[low][1] : -1;
}

function marked(text, at, depth, missing) {
  const entry = MARKS.find(([mark]) => text.startsWith(mark, at));
  if (!entry) return null;
  const [mark, kind] = entry;
  const begin = at + mark.length;
  const isOpen = /\S/.test(text[begin] ?? ' ') && !(mark[0] === '_' && isWord(text[at - 1]));
  if (!isOpen || missing.has(mark)) return {node: {kind: 'text', text: mark}, end: begin};
  missing.literals ??= literalsOf(text);
  for (let close = text.indexOf(mark, begin), next; close >= 0; close = text.indexOf(mark, next)) {
    const inside = literalEnd(missing.literals, close);
    if (inside >= 0) {
      next = inside;
      continue;
    }
    let end = close + mark.length;
    while (text[end] === mark[0]) ++end;  // of ***, the last ones close what was begun first
    next = end;
    const isOfOthers = mark.length === 1 && (end - close) % 2 === 0;
    if (close === begin || /\s/.test(text[close - 1]) || isOfOthers) continue;
    if (mark[0] === '_' && isWord(text[end])) continue;
    const children = parseInline(text.slice(begin, end - mark.length), depth + 1);
    return {node: {kind, children}, end};
  }
  missing.add(mark);
  return {node: {kind: 'text', text: mark}, end: begin};
}
