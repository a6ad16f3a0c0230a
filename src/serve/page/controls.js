// Fields for how tokens are chosen and how caches are kept. Empty fields are the server's to fill.

import {h} from './dom.js';
import {POLICIES} from './policies.js';

let fieldCount = 0;

/** A labelled field. */
export function field(label, input, hint) {
  input.id ||= `field-${++fieldCount}`;
  return h('div', {class: 'field'}, h('label', {for: input.id}, label), input,
    hint && h('p', {class: 'hint'}, hint));
}

const SAMPLING = [
  {name: 'temperature', label: 'Temperature', min: 0, step: 0.1},
  {name: 'top_p', label: 'Top p', min: 0, max: 1, step: 0.05},
  {name: 'top_k', label: 'Top k', min: 0, step: 1},
  {name: 'min_p', label: 'Min p', min: 0, max: 1, step: 0.01},
  {name: 'repetition_penalty', label: 'Repetition penalty', min: 0.1, step: 0.05},
  {name: 'max_tokens', label: 'Longest answer', min: 1, step: 1, hint: 'what fits'},
  {name: 'seed', label: 'Seed', min: 0, step: 1, hint: 'any'},
];

/** @param {Object<string, string>} values changed in place */
export function samplingFields(values, info, onChange) {
  return h('div', {class: 'fields'}, ...SAMPLING.map(({name, label, hint, ...limits}) => {
    const input = h('input', {
      type: 'number', ...limits, step: limits.step === 1 ? 1 : 'any', 'data-name': name,
      placeholder: hint ?? info?.sampling?.[name] ?? '',
      on: {
        input: () => {
          if (input.value.trim()) values[name] = input.value;
          else delete values[name];
          onChange();
        },
      },
    });
    input.value = values[name] ?? '';
    return field(label, input);
  }));
}

/** The request's fields. */
export const samplingRequest = (values) =>
  Object.fromEntries(Object.entries(values).map(([name, text]) => [name, Number(text)]));

/** @param {import('./policies.js').Argument} argument */
function argumentInput({name, hint, options}) {
  if (!options) {
    return h('input', {type: 'number', min: 0, step: 'any', placeholder: hint, 'data-name': name});
  }
  return h('select', {'data-name': name}, ...options.map((option, i) =>
    h('option', {value: i === 0 ? '' : option}, option)));
}

/** @param {import('./options.js').CacheChoice} choice changed in place */
export function cacheFields(label, choice, info, onChange) {
  const fitting = (info?.policies ?? []).filter((name) => POLICIES[name]);
  // A conversation may have been held with another model: what it has chosen is shown all the same.
  const names = [...new Set([...fitting, choice.policy])].filter(Boolean);
  const select = h('select', {'data-name': 'policy'},
    h('option', {value: ''}, `as the server: ${info?.policy ?? '…'}`),
    ...names.map((name) => h('option', {value: name, selected: name === choice.policy}, name)));
  const rest = h('div', {class: 'fields'});
  const about = h('p', {class: 'hint'});
  const showArguments = () => {
    const policy = POLICIES[choice.policy];
    about.textContent = policy?.about ?? '';
    rest.replaceChildren(...(policy?.args ?? []).map((argument) => {
      const input = argumentInput(argument);
      input.value = choice.args[argument.name] ?? '';
      input.addEventListener('input', () => {
        choice.args[argument.name] = input.value;
        onChange();
      });
      return field(argument.label, input);
    }));
  };
  select.addEventListener('change', () => {
    choice.policy = select.value;
    choice.args = {};
    showArguments();
    onChange();
  });
  showArguments();
  return h('div', {class: 'cache-fields'}, field(label, select), about, rest);
}
