// Markdown within a paragraph, as a tree. Every search for a closing mark that finds none is done
// once for its mark, so that a text made to be slow is not.

/**
 * @typedef {{kind: 'text'|'code', text: string}
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
    const found =
      depth < DEEPEST && '\\`*_~[!<h\n'.includes(text[at]) ? special(text, at, depth, missing) : null;
    if (found) push(found.node, found.end);
    else if (text[at] === '\\' && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? '')) {
      plain += text[at + 1];
      at += 2;
    } else plain += text[at++];
  }
  if (plain) out.push({kind: 'text', text: plain});
  return out;
}

function special(text, at, depth, missing) {
  switch (text[at]) {
    case '\\':
      return text[at + 1] === '\n' ? {node: {kind: 'break'}, end: at + 2} : null;
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
    default:
      return marked(text, at, depth, missing);
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

function marked(text, at, depth, missing) {
  const entry = MARKS.find(([mark]) => text.startsWith(mark, at));
  if (!entry) return null;
  const [mark, kind] = entry;
  const begin = at + mark.length;
  const isOpen = /\S/.test(text[begin] ?? ' ') && !(mark[0] === '_' && isWord(text[at - 1]));
  if (!isOpen || missing.has(mark)) return {node: {kind: 'text', text: mark}, end: begin};
  for (let close = text.indexOf(mark, begin); close >= 0; close = text.indexOf(mark, close + 1)) {
    const after = text[close + mark.length];
    const isPartOfLonger = mark.length === 1 && (after === mark || text[close - 1] === mark);
    if (close === begin || /\s/.test(text[close - 1]) || isPartOfLonger) continue;
    if (mark[0] === '_' && isWord(after)) continue;
    const children = parseInline(text.slice(begin, close), depth + 1);
    return {node: {kind, children}, end: close + mark.length};
  }
  missing.add(mark);
  return {node: {kind: 'text', text: mark}, end: begin};
}
