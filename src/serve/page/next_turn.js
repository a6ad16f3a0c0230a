// How the next answer is to be made: the fields that change a conversation's options, or those that
// new conversations begin with.

import {cacheFields, samplingFields} from './controls.js';
import {h} from './dom.js';

/** The policy, and another beside it. @param {import('./options.js').Options} options changed in place */
function policyFields(options, info, onChange) {
  const element = h('div', {class: 'controls'});
  const compare = h('input', {type: 'checkbox', role: 'switch', 'data-name': 'compares'});
  compare.checked = options.compares;
  const show = () => element.replaceChildren(
    cacheFields('Policy', options.caches[0], info, onChange),
    h('label', {class: 'switch'}, compare, h('span', {}, 'Side by side with another')),
    options.compares ? cacheFields('Other policy', options.caches[1], info, onChange) : '');
  compare.addEventListener('change', () => {
    options.compares = compare.checked;
    show();
    compare.focus();  // it has been taken out and put in again
    onChange();
  });
  show();
  return element;
}

/** All of them but the system prompt, for a dialog. */
export function optionFields(options, info, onChange) {
  return [
    h('h3', {}, 'How tokens are chosen'), samplingFields(options.sampling, info, onChange),
    h('h3', {}, 'How they are remembered'), policyFields(options, info, onChange),
  ];
}

/** The same for the panel: how tokens are chosen is folded away there. */
export class NextTurn {
  constructor(onChange) {
    this.onChange = onChange;
    this.policies = h('div');
    this.sampling = h('details', {class: 'sampling'}, h('summary', {}, 'How tokens are chosen'));
    this.element = h('div', {class: 'controls'}, this.policies, this.sampling);
  }

  focus() {
    this.policies.querySelector('select').focus();
  }

  /** Built once for each: built anew, fields would lose the keyboard's place. */
  show(options, info) {
    if (this.options === options && this.info === info) return;
    Object.assign(this, {options, info});
    this.policies.replaceChildren(policyFields(options, info, this.onChange));
    this.sampling.replaceChildren(this.sampling.firstChild,
      samplingFields(options.sampling, info, this.onChange));
  }
}
