// Markdown's blocks, line by line. What it does not know is a paragraph.

import {formulaBlock} from './markdown_math.js';

/**
 * @typedef {{kind: 'paragraph', text: string}
 *   | {kind: 'heading', level: number, text: string}
 *   | {kind: 'code', language: string, text: string}
 *   | {kind: 'quote', blocks: Block[]}
 *   | {kind: 'list', start: number|null, items: Block[][]}
 *   | {kind: 'table', align: string[], head: string[], rows: string[][]}
 *   | import('./markdown_math.js').Formula
 *   | {kind: 'rule'}} Block  Those at the top have their lines as `source`.
 */

const DEEPEST_BLOCK = 6;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})(?:\s([^]*))?$/;
const UNDERLINE = /^ {0,3}(={2,}|-{2,})\s*$/;  // of one mark only it would flicker as lists stream in
const INDENT = /^( {4}| {0,3}\t)/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^( {0,8})([-*+]|\d{1,9}[.)])(\s+|$)([^]*)$/;

/** @returns {Block[]} */
export function parseBlocks(text, depth = 0) {
  const lines = text.split('\n');
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      ++at;
      continue;
    }
    const begin = at;
    const isInText = at > 0 && lines[at - 1].trim() !== '' && blocks.at(-1)?.kind === 'paragraph';
    const [block, end] = isInText || !INDENT.test(lines[at])
      ? blockAt(lines, at, depth) : formulaBlock(lines, at) ?? indentedCode(lines, at);
    at = Math.max(end, begin + 1);
    block.source = lines.slice(begin, at).join('\n');
    blocks.push(block);
  }
  return blocks;
}

function blockAt(lines, at, depth) {
  const line = lines[at];
  const fence = fenceOf(line);
  if (fence) return codeBlock(lines, at, fence);
  const formula = formulaBlock(lines, at);
  if (formula) return formula;
  const heading = HEADING.exec(line);
  if (heading) return [{kind: 'heading', level: heading[1].length, text: headingText(heading)}, at + 1];
  if (RULE.test(line)) return [{kind: 'rule'}, at + 1];
  if (depth < DEEPEST_BLOCK && /^ {0,3}>/.test(line)) return quote(lines, at, depth);
  if (depth < DEEPEST_BLOCK && ITEM.test(line)) return list(lines, at, depth);
  if (line.includes('|') && isDelimiters(lines[at + 1] ?? '')) return table(lines, at);
  return paragraph(lines, at);
}

/** Without the marks that may close it. */
function headingText([, , text]) {
  return (text ?? '').trim().replace(/(^|\s)#+$/, '').trimEnd();
}

/** What a line that begins a code block says; else null. */
function fenceOf(line) {
  const found = FENCE.exec(line);
  if (!found) return null;
  const [begin, marks] = found;
  const rest = line.slice(begin.length);
  if (marks[0] === '`' && rest.includes('`')) return null;
  return {marks, language: rest.trim().split(/\s/, 1)[0]};
}

/** One that has not ended yet, as while it streams, goes to the end of the text. */
function codeBlock(lines, at, {marks, language}) {
  const indent = lines[at].length - lines[at].trimStart().length;
  const code = [];
  let end = at + 1;
  for (; end < lines.length; ++end) {
    const close = /^ {0,3}(`{3,}|~{3,})\s*$/.exec(lines[end]);
    if (close && close[1].startsWith(marks)) {
      ++end;
      break;
    }
    code.push(lines[end].slice(Math.min(indent, lines[end].length - lines[end].trimStart().length)));
  }
  return [{kind: 'code', language, text: code.join('\n')}, end];
}

/** Blank lines belong to it where it goes on after them. */
function indentedCode(lines, at) {
  let last = at;
  for (let end = at; end < lines.length && (INDENT.test(lines[end]) || !lines[end].trim()); ++end) {
    if (lines[end].trim()) last = end;
  }
  const code = lines.slice(at, last + 1).map((line) => line.replace(INDENT, ''));
  return [{kind: 'code', language: '', text: code.join('\n')}, last + 1];
}

function quote(lines, at, depth) {
  const inner = [];
  let end = at;
  for (; end < lines.length && /^ {0,3}>/.test(lines[end]); ++end) {
    inner.push(lines[end].replace(/^ {0,3}> ?/, ''));
  }
  return [{kind: 'quote', blocks: parseBlocks(inner.join('\n'), depth + 1)}, end];
}

function list(lines, at, depth) {
  const [, firstIndent, marker] = ITEM.exec(lines[at]);
  const isOrdered = /\d/.test(marker);
  const items = [];
  let end = at;
  while (end < lines.length) {
    const found = ITEM.exec(lines[end]);
    if (!found || found[1].length > firstIndent.length + 1 || /\d/.test(found[2]) !== isOrdered) break;
    if (found[1].length < firstIndent.length || RULE.test(lines[end])) break;
    const [item, next] = itemLines(lines, end, found);
    items.push(parseBlocks(item.join('\n'), depth + 1));
    end = next;
  }
  const start = isOrdered ? Number.parseInt(marker, 10) : null;
  return [{kind: 'list', start, items}, end];
}

/** An item's lines without its indentation; blank lines belong to it where it goes on after them. */
function itemLines(lines, at, [, indent, marker, space, rest]) {
  const width = indent.length + marker.length + Math.min(Math.max(space.length, 1), 4);
  const item = [rest];
  let end = at + 1;
  for (; end < lines.length; ++end) {
    const line = lines[end];
    const inset = line.length - line.trimStart().length;
    if (!line.trim()) {
      const next = lines.slice(end + 1, end + 3).find((later) => later.trim());
      if (!next || next.length - next.trimStart().length <= indent.length) break;
      item.push('');
    } else if (inset > indent.length) {
      item.push(line.slice(Math.min(inset, width)));
    } else if (endsParagraph(lines, end) || !item.at(-1)) {
      break;
    } else {
      item.push(line);
    }
  }
  while (end < lines.length && !lines[end].trim() && ITEM.test(lines[end + 1] ?? '')) ++end;
  return [item, end];
}

function cellsOf(line) {
  return line.trim().replace(/^\|/, '').replace(/\|$/, '').split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replace(/\\\|/g, '|'));
}

function isDelimiters(line) {
  return cellsOf(line).every((cell) => /^:?-+:?$/.test(cell));
}

function table(lines, at) {
  const align = cellsOf(lines[at + 1]).map((cell) => {
    if (cell.endsWith(':')) return cell.startsWith(':') ? 'center' : 'right';
    return 'left';
  });
  const rows = [];
  let end = at + 2;
  for (; end < lines.length && lines[end].includes('|') && lines[end].trim(); ++end) {
    rows.push(cellsOf(lines[end]));
  }
  return [{kind: 'table', align, head: cellsOf(lines[at]), rows}, end];
}

function endsParagraph(lines, at) {
  const line = lines[at];
  return (
    !line.trim() || fenceOf(line) || HEADING.test(line) || RULE.test(line) ||
    /^ {0,3}>/.test(line) || ITEM.test(line) || formulaBlock(lines, at)
  );
}

/** Or a heading, where a line under it makes it one. */
function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !UNDERLINE.test(lines[end]) && !endsParagraph(lines, end)) ++end;
  const text = lines.slice(at, end).join('\n');
  const underline = UNDERLINE.exec(lines[end] ?? '');
  if (underline) return [{kind: 'heading', level: underline[1].startsWith('=') ? 1 : 2, text}, end + 1];
  return [{kind: 'paragraph', text}, end];
}
