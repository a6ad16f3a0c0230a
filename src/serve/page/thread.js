// The conversation: the messages of the branch that is shown, and beside each other those that are
// compared.

import {branchesOf, branchIndex, comparedWith, pathOf} from './conversation.js';
import {arrange, h} from './dom.js';
import {tokensOfMessages} from './memory.js';
import {MessageView, sentText} from './message.js';
import {SystemPrompt} from './system_prompt.js';

const NEAR_END = 80;  // pixels

export class Thread {
  constructor(element, scroller, actions) {
    this.element = element;
    this.scroller = scroller;
    this.actions = actions;
    this.views = new Map();
    this.system = new SystemPrompt(actions.onSystem);
    this.followsEnd = true;
    this.sizes = '';
    scroller.addEventListener('scroll', () => this.#heedReader(), {passive: true});
    // A phone is turned, a keyboard comes up: the end stays. A text unfolds: what is read stays.
    const observer = new ResizeObserver((changes) => {
      this.#settle(changes.some(({target}) => target === scroller));
    });
    for (const observed of [scroller, element]) observer.observe(observed);
  }

  /** Only a reader scrolls between unchanged sizes; a change of them moves the end by itself, and its
   *  scroll event may come before the observer is told of it. */
  #heedReader() {
    if (this.sizes !== this.#sizesNow()) return;
    const {scrollHeight, scrollTop, clientHeight} = this.scroller;
    this.followsEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
  }

  #sizesNow() {
    return `${this.scroller.scrollHeight} of ${this.scroller.clientHeight}`;
  }

  /** @param {{conversation: object, isShaded: boolean, info: object, isRunning: Function}} state */
  show(state) {
    const {conversation} = state;
    const path = pathOf(conversation);
    const shadings = state.isShaded ? shadingsOf(conversation, path) : new Map();
    const rows = path.map((message) => {
      const compared = comparedWith(conversation, message);
      const branches = branchesOf(conversation, message);
      const elements = compared.map((one) => {
        const view = this.#viewOf(one);
        view.show({
          isRunning: state.isRunning(one),
          index: branchIndex(branches, one),
          count: branches.length,
          shading: shadings.get(one.id) ?? null,
          isCompared: compared.length > 1,
          isChosen: one.id === message.id,
          info: state.info,
        });
        return view.element;
      });
      if (elements.length === 1) return elements[0];
      return this.#pairOf(message.group, elements);
    });
    this.system.show(conversation.options.system);
    arrange(this.element, [this.system.element, ...(rows.length ? rows : [this.#welcome(state)])]);
    this.#settle();
  }

  #settle(keepsEnd = true) {
    if (keepsEnd && this.followsEnd) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.sizes = this.#sizesNow();
  }

  #viewOf(message) {
    const known = this.views.get(message.id);
    if (known?.message === message) return known;
    const view = new MessageView(message, this.actions);
    this.views.set(message.id, view);
    return view;
  }

  #pairOf(group, elements) {
    const known = this.views.get(group) ?? h('div', {class: 'pair'});
    this.views.set(group, known);
    arrange(known, elements);
    return known;
  }

  #welcome({info}) {
    this.welcome ??= h('div', {class: 'welcome'}, h('h2', {}, 'What shall we talk about?'),
      h('p', {}), h('p', {class: 'hint'}, 'Enter sends, Shift+Enter breaks the line, Esc stops.'));
    this.welcome.childNodes[1].textContent = info
      ? `${info.model} has ${info.layers} layers of ${info.kv_heads} heads that remember. The panel ` +
        'beside shows what they keep of what is said, and what they let go.'
      : '';
    return this.welcome;
  }

  clear() {
    this.views.clear();
    this.system.close();
    this.followsEnd = true;
  }
}

/** Of the path's last answer that has a memory, and of those that it is compared with. */
function shadingsOf(conversation, path) {
  const shadings = new Map();
  const last = path.findLastIndex((message) => message.memory?.tokens);
  if (last < 0) return shadings;
  const line = path.slice(0, last + 1);
  for (const one of comparedWith(conversation, path[last])) {
    if (!one.memory?.tokens) continue;
    const messages = [...line.slice(0, -1), one];
    const tokens = tokensOfMessages(one.memory, messages.map(sentText));
    // What both were asked is shaded as the one remembers it that goes on.
    messages.forEach((message, i) => {
      if (one === path[last] || message === one) shadings.set(message.id, tokens[i]);
    });
  }
  return shadings;
}
