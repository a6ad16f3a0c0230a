// Where a message is written: its text, its files, and the button that sends it or stops the answer.

import {fitHeight, h, setAttributes} from './dom.js';
import {FileChips} from './file_chips.js';
import {icon} from './icons.js';

export class Composer {
  /** @param {{onSend: Function, onStop: Function, onEditLast: Function, onPolicy: Function}} actions */
  constructor(form, actions) {
    this.actions = actions;
    this.area = h('textarea', {id: 'prompt', rows: 1, 'aria-label': 'Message',
      placeholder: 'Write a message'});
    this.chips = new FileChips(this.area, (message) => this.complain(message));
    this.problem = h('p', {class: 'error', role: 'alert', hidden: true});
    this.policy = h('button', {type: 'button', class: 'quiet small', id: 'policy',
      title: 'How the next turn is remembered', on: {click: actions.onPolicy}});
    this.button = h('button', {type: 'submit', class: 'main-button icon-button', id: 'send'});
    form.append(this.problem, this.chips.element, this.area, h('div', {class: 'composer-row'},
      this.chips.button, this.chips.picker, this.policy, h('span', {class: 'space'}), this.button));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.isBusy ? actions.onStop() : this.send();
    });
    this.area.addEventListener('keydown', (event) => this.#key(event));
    this.area.addEventListener('input', () => fitHeight(this.area));
    document.addEventListener('dragover', (event) => event.preventDefault());
    document.addEventListener('drop', (event) => {
      event.preventDefault();
      this.chips.take(event.dataTransfer.files);
    });
    this.setBusy(false);
  }

  #key(event) {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!this.isBusy) this.send();
    } else if (event.key === 'ArrowUp' && !this.area.value) {
      event.preventDefault();
      this.actions.onEditLast();
    }
  }

  /** Says what went wrong, to eye and ear. */
  complain(text) {
    this.problem.hidden = !text;
    this.problem.textContent = text;
  }

  send() {
    const content = this.area.value.trim();
    const {files} = this.chips;
    if (!content && files.length === 0) return;
    this.chips.set([]);
    this.area.value = '';
    this.complain('');
    fitHeight(this.area);
    this.actions.onSend(content, files);
  }

  setBusy(isBusy) {
    if (this.isBusy === isBusy) return;
    this.isBusy = isBusy;
    const label = isBusy ? 'Stop' : 'Send';
    this.button.replaceChildren(icon(isBusy ? 'stop' : 'send'));
    setAttributes(this.button, {'aria-label': label, title: label});
  }

  setPolicy(label) {
    this.policy.replaceChildren(icon('memory'), h('span', {}, label));
    setAttributes(this.policy, {'aria-label': `Memory: ${label}`});
  }
}
