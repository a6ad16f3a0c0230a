// Where a text that is already there is changed: a message with its files, or a system prompt.

import {fitHeight, h} from './dom.js';
import {FileChips} from './file_chips.js';

/**
 * Opens one after `place`. Enter does what its button says; without files, where a text of several
 * lines is usual, Ctrl+Enter does.
 * @param {HTMLElement} place
 * @param {{label: string, text: string, files?: import('./attachments.js').TextFile[], verb: string,
 *   placeholder?: string, onDone: (text: string, files: object[]) => void, onClose: () => void}} about
 *   `onClose` is called first, and where it is left as it was.
 */
export function openEditor(place, {label, text, files, verb, placeholder, onDone, onClose}) {
  const area = h('textarea', {'aria-label': label, rows: 3, placeholder});
  area.value = text;
  const problem = h('p', {class: 'error', role: 'alert', hidden: true});
  const chips = files && new FileChips(area, (message) => {
    problem.hidden = !message;
    problem.textContent = message;
  });
  const close = () => {
    element.remove();
    onClose();
  };
  const done = () => {
    close();
    onDone(area.value.trim(), chips?.files);
  };
  const element = h('div', {class: 'editor'}, problem, chips?.element, area,
    h('div', {class: 'dialog-buttons'},
      chips?.button, chips?.picker, h('span', {class: 'space'}),
      h('button', {type: 'button', class: 'quiet', on: {click: close}}, 'Cancel'),
      h('button', {type: 'button', class: 'main-button', on: {click: done}}, verb)));
  area.addEventListener('input', () => fitHeight(area));
  element.addEventListener('keydown', (event) => {
    const isDone = event.target === area && event.key === 'Enter' && !event.isComposing;
    if (isDone && (chips ? !event.shiftKey : event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      done();
    } else if (event.key === 'Escape') {
      event.stopPropagation();
      close();
    }
  });
  if (chips) {
    chips.set(files);
    takeDrops(element, chips);
  }
  place.after(element);
  fitHeight(area);
  area.focus();
  return {element, close};
}

/** The page takes others for the message that is written below. */
function takeDrops(element, chips) {
  element.addEventListener('drop', (event) => {
    event.preventDefault();
    event.stopPropagation();
    chips.take(event.dataTransfer.files);
  });
}
