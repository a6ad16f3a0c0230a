// Where a text holds formulas: $…$, $$…$$, \(…\) and \[…\], so that nothing in them is taken for
// emphasis or a list. A dollar is a price more often than not: what has no sign of a formula is none.

/** @typedef {{kind: 'math', isBlock: boolean, text: string}} Formula */

const MARKS_OF_MATH = [['$$', '$$'], ['\\[', '\\]'], ['$', '$'], ['\\(', '\\)']];
const LONGEST_FORMULA = 2000;
const MOST_LINES = 40;

/** One word, or with a sign that prose does without. */
function looksLikeMath(text) {
  const inner = text.trim();
  return inner !== '' && (!/\s/.test(inner) || /[\\^_={}<>+|]/.test(inner));
}

/**
 * The formula that begins at `at`, else null.
 * @param {Set<string>} missing marks that nothing closes any more
 * @returns {{node: Formula, end: number}|null}
 */
export function formulaAt(text, at, missing) {
  const marks = MARKS_OF_MATH.find(([mark]) => text.startsWith(mark, at));
  if (!marks || missing.has(marks[0])) return null;
  const [open, close] = marks;
  const begin = at + open.length;
  const end = closingAt(text, begin, close, missing);
  if (end < 0) missing.add(open);
  if (end < 0 || end - begin > LONGEST_FORMULA) return null;
  const inner = text.slice(begin, end);
  if (open === '$' && !isBetweenDollars(text, at, end)) return null;
  if (!looksLikeMath(inner)) return null;
  const isBlock = open === '$$' || open === '\\[';
  return {node: {kind: 'math', isBlock, text: inner}, end: end + close.length};
}

/** Found once for all that begins before it: a text may open formulas without end. */
function closingAt(text, begin, close, missing) {
  missing.closing ??= {};
  const known = missing.closing[close];
  if (known >= begin) return known;
  let end = text.indexOf(close, begin);
  while (end > 0 && text[end - 1] === '\\') end = text.indexOf(close, end + 1);
  return (missing.closing[close] = end);
}

/** Neither "US$5 and CA$6" nor "$5 and $6". */
function isBetweenDollars(text, at, end) {
  return (
    /\S/.test(text[at + 1]) && /\S/.test(text[end - 1]) &&
    !/[\p{L}\p{N}]/u.test(text[at - 1] ?? '') && !/[\p{L}\p{N}]/u.test(text[end + 1] ?? '')
  );
}

/** A formula on lines of its own, and the line after it; else null. */
export function formulaBlock(lines, at) {
  const [, open] = /^\s*(\$\$|\\\[)/.exec(lines[at]) ?? [];
  if (!open) return null;
  const close = open === '$$' ? '$$' : '\\]';
  const inner = [];
  for (let end = at; end < Math.min(lines.length, at + MOST_LINES); ++end) {
    const line = end === at ? lines[at].trim().slice(open.length) : lines[end].trim();
    const place = line.indexOf(close);
    if (place < 0 ? !line && end > at : place !== line.length - close.length) return null;
    inner.push(place < 0 ? line : line.slice(0, place));
    if (place >= 0) {
      const text = inner.join('\n');
      const isFormula = text.length <= LONGEST_FORMULA && looksLikeMath(text);
      return isFormula ? [{kind: 'math', isBlock: true, text}, end + 1] : null;
    }
  }
  return null;
}
