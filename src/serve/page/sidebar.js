// The list of conversations.

import {h} from './dom.js';
import {icon} from './icons.js';

export class Sidebar {
  constructor(element, actions) {
    this.actions = actions;
    this.list = h('ul', {class: 'conversations'});
    this.warning = h('p', {class: 'hint', hidden: true},
      'This browser keeps nothing: conversations end with the page.');
    element.append(
      h('header', {class: 'panel-head'}, h('span', {class: 'brand'}, 'dms'),
        h('button', {type: 'button', class: 'quiet close', on: {click: actions.onClose}}, 'Close')),
      h('button', {type: 'button', class: 'new', id: 'new', on: {click: actions.onNew}},
        icon('plus'), 'New conversation'),
      this.list,
      this.warning,
      h('footer', {class: 'sidebar-foot'},
        h('button', {type: 'button', class: 'quiet', id: 'settings', on: {click: actions.onSettings}},
          icon('tune'), 'Settings'),
        h('button', {type: 'button', class: 'quiet icon-button', id: 'theme', 'aria-label': 'Dark or light',
          title: 'Dark or light', on: {click: actions.onTheme}}, icon('theme'))));
  }

  show(conversations, current) {
    // Drawn anew it would lose the keyboard's place.
    const key = JSON.stringify([current, conversations.map(({id, title}) => [id, title])]);
    if (key === this.shown) return;
    this.shown = key;
    this.list.replaceChildren(...conversations.map((conversation) =>
      h('li', {},
        h('button', {type: 'button', class: 'conversation',
          'aria-current': conversation.id === current ? 'true' : null,
          on: {click: () => this.actions.onOpen(conversation.id)}}, conversation.title),
        h('button', {type: 'button', class: 'quiet icon-button remove',
          'aria-label': `Delete ${conversation.title}`, title: 'Delete',
          on: {click: () => this.actions.onRemove(conversation)}}, icon('trash')))));
  }
}
