// Markdown as nodes. No text ever becomes markup: every node is made by name.

import {copyText, h} from './dom.js';
import {parseBlocks} from './markdown_blocks.js';
import {parseInline} from './markdown_inline.js';
import {parseTex} from './tex.js';

/** Shows `text` in `container`; blocks that stayed as they were keep their elements. */
export function showMarkdown(container, text) {
  const blocks = parseBlocks(text);
  const known = container.blockSources ?? [];
  let same = 0;
  while (same < blocks.length && known[same] === blocks[same].source) ++same;
  while (container.childNodes.length > same) container.lastChild.remove();
  container.append(...blocks.slice(same).map(blockNode));
  container.blockSources = blocks.map((block) => block.source);
}

function blockNode(block) {
  switch (block.kind) {
    case 'heading':
      // The page's own headings are above those of a message.
      return h(`h${Math.min(block.level + 2, 6)}`, {}, ...inlineNodes(block.text));
    case 'code':
      return codeNode(block);
    case 'quote':
      return h('blockquote', {}, ...block.blocks.map(blockNode));
    case 'list':
      return listNode(block);
    case 'table':
      return tableNode(block);
    case 'rule':
      return h('hr');
    case 'math':
      return formulaNode('div', block);
    default:
      return h('p', {}, ...inlineNodes(block.text));
  }
}

function codeNode({language, text}) {
  const button = h('button', {type: 'button', class: 'quiet small'}, 'Copy');
  button.addEventListener('click', async () => {
    await copyText(text);
    button.textContent = 'Copied';
    setTimeout(() => (button.textContent = 'Copy'), 1500);
  });
  return h('figure', {class: 'code'},
    h('figcaption', {}, h('span', {}, language || 'text'), button),
    h('pre', {tabindex: '0', 'aria-label': `Code, ${language || 'text'}`}, h('code', {}, text)));
}

function listNode({start, items}) {
  const nodes = items.map((blocks) => {
    const isTight = blocks.length > 0 && blocks[0].kind === 'paragraph';
    const first = isTight ? inlineNodes(blocks[0].text) : [];
    return h('li', {}, ...first, ...blocks.slice(isTight ? 1 : 0).map(blockNode));
  });
  return start === null ? h('ul', {}, ...nodes) : h('ol', {start}, ...nodes);
}

function tableNode({align, head, rows}) {
  const cell = (tag, text, column) =>
    h(tag, {class: `align-${align[column] ?? 'left'}`}, ...inlineNodes(text));
  // Only those that are there: filled up to the head, a short text could make a table without end.
  const row = (cells) =>
    h('tr', {}, ...cells.slice(0, head.length).map((text, column) => cell('td', text, column)));
  return h('div', {class: 'table', tabindex: '0'},
    h('table', {},
      h('thead', {}, h('tr', {}, ...head.map((text, column) => cell('th', text, column)))),
      h('tbody', {}, ...rows.map(row))));
}

function formulaNode(tag, {isBlock, text}) {
  const formula = h(tag, {class: isBlock ? 'math is-block' : 'math'});
  formula.append(...parseTex(text).map(inlineNode));
  return formula;
}

function inlineNodes(text) {
  return parseInline(text).map(inlineNode);
}

function inlineNode(node) {
  switch (node.kind) {
    case 'text':
      return document.createTextNode(node.text);
    case 'code':
      return h('code', {}, node.text);
    case 'math':
      return formulaNode('span', node);
    case 'break':
      return h('br');
    case 'link':
      return h('a', {href: node.href, target: '_blank', rel: 'noopener noreferrer nofollow'},
        ...node.children.map(inlineNode));
    default:
      return h(node.kind, {}, ...node.children.map(inlineNode));
  }
}
