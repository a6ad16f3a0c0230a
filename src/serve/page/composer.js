// Where a message is written: its text, its files, and the button that sends it or stops the answer.

import {readTextFile} from './attachments.js';
import {h, setAttributes} from './dom.js';
import {icon} from './icons.js';

export class Composer {
  /** @param {{onSend: Function, onStop: Function, onEditLast: Function, onMemory: Function}} actions */
  constructor(form, actions) {
    this.actions = actions;
    this.files = [];
    this.area = h('textarea', {id: 'prompt', rows: 1, 'aria-label': 'Message',
      placeholder: 'Write a message'});
    this.picker = h('input', {type: 'file', multiple: true, class: 'for-readers', tabindex: '-1',
      'aria-hidden': 'true', on: {change: () => this.addFiles(this.picker.files)}});
    this.chips = h('div', {class: 'chips'});
    this.problem = h('p', {class: 'error', role: 'alert', hidden: true});
    this.policy = h('button', {type: 'button', class: 'quiet small', id: 'policy',
      title: 'How the next turn is remembered', on: {click: actions.onMemory}});
    this.button = h('button', {type: 'submit', class: 'main-button icon-button', id: 'send'});
    form.append(this.problem, this.chips, this.area, h('div', {class: 'composer-row'},
      h('button', {type: 'button', class: 'quiet icon-button', 'aria-label': 'Attach text files',
        title: 'Attach text files', on: {click: () => this.picker.click()}}, icon('attach')),
      this.picker, this.policy, h('span', {class: 'space'}), this.button));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.isBusy ? actions.onStop() : this.send();
    });
    this.area.addEventListener('keydown', (event) => this.#key(event));
    this.area.addEventListener('input', () => this.#fit());
    this.#takeDrops();
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

  #takeDrops() {
    document.addEventListener('dragover', (event) => event.preventDefault());
    document.addEventListener('drop', (event) => {
      event.preventDefault();
      this.addFiles(event.dataTransfer.files);
    });
    this.area.addEventListener('paste', (event) => {
      if (event.clipboardData.files.length) this.addFiles(event.clipboardData.files);
    });
  }

  async addFiles(files) {
    const problems = [];
    for (const file of files) {
      try {
        this.files.push(await readTextFile(file));
      } catch (error) {
        problems.push(error.message);
      }
    }
    this.complain(problems.join(' '));
    this.picker.value = '';
    this.#showFiles();
  }

  /** Says what went wrong, to eye and ear. */
  complain(text) {
    this.problem.hidden = !text;
    this.problem.textContent = text;
  }

  #showFiles() {
    this.chips.replaceChildren(...this.files.map((file) =>
      h('span', {class: 'chip'}, icon('file'), h('span', {}, file.name),
        h('button', {type: 'button', class: 'quiet icon-button', 'aria-label': `Remove ${file.name}`,
          on: {
            click: () => {
              this.files = this.files.filter((other) => other !== file);
              this.#showFiles();
              this.area.focus();
            },
          }}, icon('close')))));
  }

  /** As high as its text, up to a third of the window. */
  #fit() {
    this.area.style.height = 'auto';
    this.area.style.height = `${Math.min(this.area.scrollHeight, window.innerHeight / 3)}px`;
  }

  send() {
    const content = this.area.value.trim();
    if (!content && this.files.length === 0) return;
    const files = this.files;
    this.files = [];
    this.area.value = '';
    this.complain('');
    this.#showFiles();
    this.#fit();
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
