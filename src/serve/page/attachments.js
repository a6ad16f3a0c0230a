// Text files that go with a message.

/** @typedef {{name: string, text: string}} TextFile */

const MOST_BYTES = 2 * 1024 * 1024;

/** Reads one. Throws an Error that says what is wrong with it. @returns {Promise<TextFile>} */
export async function readTextFile(file) {
  if (file.size > MOST_BYTES) throw new Error(`${file.name} is larger than 2 MiB`);
  try {
    const text = new TextDecoder('utf-8', {fatal: true}).decode(await file.arrayBuffer());
    if (text.includes('\0')) throw new TypeError('a zero byte');
    return {name: file.name, text};
  } catch {
    throw new Error(`${file.name} is no UTF-8 text`);
  }
}

/** What the model gets: the message, then each file in a fence that nothing in it closes. */
export function withFiles({content, files}) {
  const parts = files.map(({name, text}) => {
    const longest = Math.max(2, ...(text.match(/`{3,}/g) ?? []).map((ticks) => ticks.length));
    const fence = '`'.repeat(longest + 1);
    return `${name.replace(/[\r\n]/g, ' ')}:\n${fence}\n${text.replace(/\n$/, '')}\n${fence}`;
  });
  return [content, ...parts].filter(Boolean).join('\n\n');
}
