// What the server has told of an answer's cache, added up.

/**
 * @typedef {{tokens: number, heads: number, held: number, dense: number, bytes: number,
 *   denseBytes: number, perHead: number[][], counts: number[], texts: string[],
 *   history: number[][]}} Memory
 *   `counts`: of each token, in how many of all `heads` it is held; `history`: [tokens, held a head].
 */

const MOST_HISTORY = 400;

/** @returns {Memory} */
export function newMemory() {
  return {tokens: 0, heads: 0, held: 0, dense: 0, bytes: 0, denseBytes: 0, perHead: [], counts: [],
    texts: [], history: []};
}

/** Takes in one report ("dms" of a choice). @param {Memory} memory */
export function addReport(memory, report) {
  memory.tokens = report.tokens;
  memory.held = report.held_tokens;
  memory.dense = report.dense_tokens;
  memory.bytes = report.bytes;
  memory.denseBytes = report.dense_bytes;
  memory.perHead = report.held_per_head;
  memory.heads = report.held_per_head.reduce((sum, layer) => sum + layer.length, 0);
  const {counts, texts} = memory;
  counts.length = Math.min(counts.length, report.tokens);
  while (counts.length < report.tokens) counts.push(memory.heads);
  report.held_heads.counts.forEach((count, i) => (counts[report.held_heads.first + i] = count));
  texts.splice(report.texts.first, report.texts.texts.length, ...report.texts.texts);
  memory.history.push([memory.tokens, memory.held / Math.max(memory.heads, 1)]);
  if (memory.history.length > MOST_HISTORY) {
    memory.history = memory.history.filter((_, i) => i % 2 === 1);
  }
}

export const heldShare = (memory) => (memory.dense > 0 ? memory.held / memory.dense : 1);

/**
 * Finds messages in the tokens, which have the template's own between them, and cuts each at its
 * tokens' borders. @param {Memory} memory @param {string[]} messages in their order
 * @returns {{text: string, share: number|null}[][]} share null: not, or not yet, in the cache
 */
export function tokensOfMessages(memory, messages) {
  const all = memory.texts.join('');
  let cursor = 0;
  return messages.map((message) => {
    const inset = message.length - message.trimStart().length;
    const text = message.trim();
    const begin = text ? findMessage(all, text, cursor) : -1;
    if (begin < 0) return [{text: message, share: null}];
    let length = 0;
    while (length < text.length && all[begin + length] === text[length]) ++length;
    cursor = begin + length;
    const parts = tokensBetween(memory, begin, begin + length);
    const before = message.slice(0, inset);
    const after = message.slice(inset + length);
    if (before) parts.unshift({text: before, share: null});
    if (after) parts.push({text: after, share: null});
    return parts;
  });
}

/** Whole, or as much of its beginning as there is yet. */
function findMessage(all, text, cursor) {
  const whole = all.indexOf(text, cursor);
  if (whole >= 0) return whole;
  const beginning = text.slice(0, 24);
  const at = all.indexOf(beginning, cursor);
  if (at >= 0) return at;
  for (let length = Math.min(beginning.length, all.length - cursor); length > 0; --length) {
    if (all.endsWith(beginning.slice(0, length))) return all.length - length;
  }
  return -1;
}

function tokensBetween(memory, begin, end) {
  const parts = [];
  let at = 0;
  for (let i = 0; i < memory.texts.length && at < end; ++i) {
    const next = at + memory.texts[i].length;
    const text = memory.texts[i].slice(Math.max(begin - at, 0), end - at);
    const isIn = next > begin && text;
    if (isIn) parts.push({text, share: (memory.counts[i] ?? memory.heads) / memory.heads});
    at = next;
  }
  return parts;
}
