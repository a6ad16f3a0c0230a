// The dialogs: for the server's key, and for settings.

import {h} from './dom.js';
import {field} from './controls.js';
import {optionFields} from './next_turn.js';

/** Asks for the key. @returns {Promise<string|null>} null: it was dismissed */
export function askForApiKey(wasWrong) {
  return new Promise((resolve) => {
    const input = h('input', {type: 'password', name: 'key', autocomplete: 'off', required: true});
    const dialog = h('dialog', {class: 'dialog', 'aria-labelledby': 'key-title'},
      h('form', {
        method: 'dialog',
        on: {
          submit: (event) => {
            event.preventDefault();
            dialog.close(input.value.trim());
          },
        },
      },
        h('h2', {id: 'key-title'}, 'API key'),
        h('p', {}, wasWrong ? 'The server does not know this key.' : 'This server wants a key.'),
        field('Key', input, 'Kept in this tab until it is closed'),
        h('div', {class: 'dialog-buttons'},
          h('button', {type: 'button', class: 'quiet', on: {click: () => dialog.close('')}}, 'Cancel'),
          h('button', {type: 'submit', class: 'main-button'}, 'Go on'))));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** @returns {Promise<boolean>} */
export function askToDelete(title) {
  return new Promise((resolve) => {
    const answer = (value) => () => dialog.close(value);
    const dialog = h('dialog', {class: 'dialog', 'aria-labelledby': 'delete-title'},
      h('h2', {id: 'delete-title'}, 'Delete this conversation?'),
      h('p', {}, `“${title}” and all its branches go. There is no other copy.`),
      h('div', {class: 'dialog-buttons'},
        h('button', {type: 'button', class: 'quiet', autofocus: true, on: {click: answer('')}}, 'Keep'),
        h('button', {type: 'button', class: 'main-button', on: {click: answer('delete')}}, 'Delete')));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'delete');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** @param {object} settings changed in place */
export function openSettings(settings, info, {onChange, onTheme}) {
  const system = h('textarea', {rows: 4, 'data-name': 'system',
    placeholder: 'What the model should know before a conversation'});
  system.value = settings.system;
  system.addEventListener('input', () => {
    settings.system = system.value;
    onChange();
  });
  const theme = h('select', {'data-name': 'theme'}, ...['auto', 'light', 'dark'].map((name) =>
    h('option', {value: name, selected: name === settings.theme}, name)));
  theme.addEventListener('change', () => onTheme(theme.value));
  const dialog = h('dialog', {class: 'dialog', 'aria-labelledby': 'settings-title'},
    h('h2', {id: 'settings-title'}, 'Settings'),
    field('Theme', theme),
    h('p', {class: 'hint'}, 'What follows is for new conversations. Each has its own, to be changed ' +
      'above its first message and under Next turn.'),
    field('System prompt', system),
    ...optionFields(settings, info, onChange),
    h('div', {class: 'dialog-buttons'},
      h('button', {type: 'button', class: 'main-button', on: {click: () => dialog.close()}}, 'Done')));
  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();  // beside it
  });
  document.body.append(dialog);
  dialog.showModal();
}
