// What the model is told before a conversation, above its first message.

import {openEditor} from './editor.js';
import {h, setText} from './dom.js';
import {icon} from './icons.js';

export class SystemPrompt {
  /** @param {(text: string) => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.text = h('div', {class: 'system-text', tabindex: '0'});
    this.change = h('button', {type: 'button', class: 'quiet small', on: {click: () => this.edit()}});
    this.head = h('div', {class: 'system-head'}, h('span', {}, 'System prompt'), this.change);
    this.element = h('section', {class: 'system', 'aria-label': 'System prompt'}, this.head, this.text);
  }

  /** @param {string} text */
  show(text) {
    this.shown = text;
    this.head.firstChild.hidden = !text && !this.editor;
    this.text.hidden = !text || Boolean(this.editor);
    this.change.hidden = Boolean(this.editor);
    setText(this.text, text);
    const label = text ? 'Change' : 'Add a system prompt';
    if (this.label === label) return;
    this.label = label;
    this.change.replaceChildren(icon(text ? 'edit' : 'plus'), label);
    this.change.setAttribute('aria-label', text ? 'Change the system prompt' : label);
  }

  edit() {
    this.editor = openEditor(this.head, {
      label: 'Edit the system prompt',
      text: this.shown,
      verb: 'Keep',
      placeholder: 'What the model should know before this conversation',
      onDone: (text) => this.onChange(text),
      onClose: () => {
        this.editor = null;
        this.show(this.shown);
        this.change.focus();
      },
    });
    this.show(this.shown);
  }

  /** Another conversation is shown. */
  close() {
    this.editor?.close();
  }
}
