// One message as it is shown.

import {announce} from './announcer.js';
import {withFiles} from './attachments.js';
import {copyText, h, setAttributes, setText} from './dom.js';
import {openEditor} from './editor.js';
import {icon} from './icons.js';
import {showMarkdown} from './markdown.js';
import {heldShare} from './memory.js';
import {cacheLabel} from './policies.js';

const COPIED_MS = 1500;

function tool(name, label, onClick) {
  return h('button', {type: 'button', class: 'quiet icon-button', 'aria-label': label, title: label,
    on: {click: onClick}}, icon(name));
}

export class MessageView {
  /**
   * @param {import('./conversation.js').Message} message
   * @param {{onEdit: Function, onAgain: Function, onBranch: Function, onPick: Function}} actions
   */
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.isUser = message.role === 'user';
    this.body = h('div', {class: 'body'});
    this.error = h('div', {class: 'error', role: 'alert', hidden: true});
    this.files = h('div', {class: 'files'});
    this.branches = h('span', {class: 'branches'});
    this.note = h('span', {class: 'note'});
    this.pick = h('button', {type: 'button', class: 'quiet small pick',
      on: {click: () => actions.onPick(message)}}, 'Go on with this');
    const copy = tool('copy', 'Copy', async () => {
      await copyText(sentText(message));
      announce('Copied');
      copy.replaceChildren(icon('check'));
      setTimeout(() => copy.replaceChildren(icon('copy')), COPIED_MS);
    });
    const change = this.isUser
      ? tool('edit', 'Edit', () => this.edit())
      : tool('again', 'Answer again', () => actions.onAgain(message));
    this.tools = h('div', {class: 'tools'}, this.branches, copy, change, this.pick, this.note);
    this.element = h('article', {class: `message ${message.role}`, 'data-id': message.id, tabindex: '-1',
      'aria-label': this.isUser ? 'You' : 'Answer'});
    if (!this.isUser) this.#addReasoning();
    this.element.append(this.body, this.files, this.error, this.tools);
    this.#showFiles();
  }

  #addReasoning() {
    this.reasoningBody = h('div', {class: 'reasoning-text'});
    this.reasoningTitle = h('summary', {}, 'Thinking');
    this.reasoning = h('details', {class: 'reasoning', hidden: true}, this.reasoningTitle,
      this.reasoningBody);
    this.element.append(this.reasoning);
  }

  #showFiles() {
    this.files.replaceChildren(...this.message.files.map(({name, text}) =>
      h('details', {class: 'file'}, h('summary', {}, icon('file'), h('span', {}, name)),
        h('pre', {tabindex: '0'}, text))));
  }

  /**
   * @param {{isRunning: boolean, index: number, count: number, shading: object[]|null,
   *   isCompared: boolean, isChosen: boolean, info: object}} state `shading`: its tokens
   */
  show(state) {
    const {message} = this;
    setAttributes(this.element, {'aria-busy': state.isRunning ? 'true' : null,
      'data-chosen': state.isCompared && state.isChosen});
    if (!this.editor) this.#showBody(state);
    if (this.reasoning) this.#showReasoning(state.isRunning);
    const isCutOff = !this.isUser && !state.isRunning && !message.finish && !message.error;
    const error = message.error ?? (isCutOff ? 'This answer was interrupted.' : '');
    this.error.hidden = !error;
    setText(this.error, error);
    this.#showBranches(state);
    this.pick.hidden = !state.isCompared;
    setText(this.pick, state.isChosen ? 'Goes on' : 'Go on with this');
    setAttributes(this.pick, {'aria-pressed': state.isCompared ? String(state.isChosen) : null});
    setText(this.note, this.isUser ? '' : noteOf(message, state));
  }

  #showBody({shading, isRunning}) {
    const {message} = this;
    this.body.classList.toggle('is-shaded', Boolean(shading));
    if (shading) {
      showTokens(this.body, shading);
    } else if (this.isUser) {
      this.body.tokens = null;
      this.body.classList.add('is-plain');
      if (this.body.textContent !== message.content || this.body.childNodes.length !== 1) {
        this.body.replaceChildren(message.content);
      }
    } else {
      if (!this.body.blockSources || this.shownText !== message.content) this.#showAnswer();
    }
    this.body.classList.toggle('is-waiting', isRunning && !message.content && !message.reasoning);
  }

  #showAnswer() {
    this.body.tokens = null;
    this.shownText = this.message.content;
    if (!this.body.blockSources) this.body.replaceChildren();
    showMarkdown(this.body, this.shownText);
  }

  #showReasoning(isRunning) {
    const {reasoning, content} = this.message;
    this.reasoning.hidden = !reasoning;
    if (!reasoning) return;
    setText(this.reasoningTitle, isRunning && !content ? 'Thinking…' : 'Thought');
    setText(this.reasoningBody, reasoning);
  }

  #showBranches({index, count}) {
    this.branches.hidden = count < 2;
    if (count < 2) return;
    const {message, actions} = this;
    const step = (by, name, label) => {
      const button = tool(name, label, () => actions.onBranch(message, index + by, by));
      button.disabled = index + by < 0 || index + by >= count;
      return button;
    };
    const key = `${index}/${count}`;
    if (this.branches.dataset.key === key) return;
    this.branches.dataset.key = key;
    this.branches.replaceChildren(step(-1, 'left', 'Earlier version'),
      h('span', {class: 'branch-count'}, `${index + 1} / ${count}`),
      step(1, 'right', 'Later version'));
  }

  /** For the keyboard, whose place the message that was shown before has taken with it. */
  focus(by = 0) {
    const [earlier, later] = by ? this.branches.querySelectorAll('button') : [];
    const [wanted, other] = by < 0 ? [earlier, later] : [later, earlier];
    (wanted && (wanted.disabled ? other : wanted) || this.element).focus({preventScroll: true});
  }

  edit() {
    if (this.editor) return;
    const hide = (isHidden) => [this.body, this.files, this.tools].forEach((part) => (part.hidden = isHidden));
    this.editor = openEditor(this.body, {
      label: 'Edit your message',
      text: this.message.content,
      files: this.message.files,
      verb: 'Send',
      onDone: (text, files) => {
        if (text || files.length) this.actions.onEdit(this.message, text, files);
      },
      onClose: () => {
        this.editor = null;
        hide(false);
        this.element.querySelector('[aria-label=Edit]').focus();
      },
    });
    hide(true);
  }
}

/** One span a token; those that stayed as they were are left alone. */
function showTokens(body, tokens) {
  if (!body.tokens) body.replaceChildren();
  const known = body.tokens ?? [];
  body.blockSources = null;
  tokens.forEach(({text, share}, i) => {
    if (known[i]?.text === text && known[i].share === share) return;
    const attributes = share === null ? {class: 'token'} : {
      class: share > 0 ? 'token is-held' : 'token is-gone', vars: {'--share': share.toFixed(3)}};
    const span = h('span', attributes, text);
    if (body.childNodes[i]) body.childNodes[i].replaceWith(span);
    else body.append(span);
  });
  while (body.childNodes.length > tokens.length) body.lastChild.remove();
  body.tokens = tokens;
}

function noteOf(message, {isRunning, info}) {
  const parts = [];
  if (message.cache) parts.push(cacheLabel(message.cache, info));
  if (isRunning) parts.push('answering');
  if (message.usage) parts.push(`${message.usage.completion_tokens} tokens`);
  if (message.finish === 'length') parts.push('cut at the longest answer');
  if (message.finish === 'abort') parts.push('ended by the server');
  if (message.finish === 'stopped') parts.push('stopped');
  if (message.memory?.tokens) parts.push(`${Math.round(heldShare(message.memory) * 100)} % held`);
  return parts.join(' · ');
}

/** As the model got it. */
export const sentText = (message) =>
  message.role === 'user' ? withFiles(message) : message.content;
