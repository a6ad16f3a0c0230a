// The text files of a message that is being written: those that go with it, and how they come and go.

import {readTextFile} from './attachments.js';
import {h} from './dom.js';
import {icon} from './icons.js';

export class FileChips {
  /** `area`: where the message is written; `complain`: says what went wrong, '' that nothing did. */
  constructor(area, complain) {
    /** @type {import('./attachments.js').TextFile[]} */
    this.files = [];
    this.area = area;
    this.complain = complain;
    this.replaced = null;
    this.picker = h('input', {type: 'file', multiple: true, class: 'for-readers', tabindex: '-1',
      'aria-hidden': 'true', on: {change: () => this.take(this.picker.files, this.replaced)}});
    this.element = h('div', {class: 'chips'});
    this.button = h('button', {type: 'button', class: 'quiet icon-button', 'aria-label': 'Attach text files',
      title: 'Attach text files', on: {click: () => this.#pick(null)}}, icon('attach'));
    area.addEventListener('paste', (event) => {
      if (event.clipboardData.files.length) this.take(event.clipboardData.files);
    });
  }

  /** @param {import('./attachments.js').TextFile[]} files */
  set(files) {
    this.files = [...files];
    this.#show();
  }

  /** Reads what was picked, dropped or pasted. `replaced`: the file whose place it gets. */
  async take(picked, replaced = null) {
    const read = [];
    const problems = [];
    for (const file of picked) {
      try {
        read.push(await readTextFile(file));
      } catch (error) {
        problems.push(error.message);
      }
    }
    this.picker.value = '';
    const place = this.files.indexOf(replaced);
    if (place < 0) this.files.push(...read);
    else if (read.length) this.files.splice(place, 1, ...read);
    this.complain(problems.join(' '));
    this.#show();
  }

  #pick(replaced) {
    this.replaced = replaced;
    this.picker.click();
  }

  #show() {
    const hadFocus = this.element.contains(document.activeElement);
    this.element.replaceChildren(...this.files.map((file) =>
      h('span', {class: 'chip'}, icon('file'),
        h('button', {type: 'button', class: 'quiet chip-name', title: 'Replace by another file',
          'aria-label': `Replace ${file.name}`, on: {click: () => this.#pick(file)}}, file.name),
        h('button', {type: 'button', class: 'quiet icon-button', 'aria-label': `Remove ${file.name}`,
          title: 'Remove', on: {click: () => this.set(this.files.filter((other) => other !== file))}},
          icon('close')))));
    if (hadFocus) this.area.focus();
  }
}
