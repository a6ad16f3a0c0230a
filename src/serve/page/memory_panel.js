// The panel that shows what the cache holds, and how the next one is to be kept.

import {h, setAttributes} from './dom.js';
import {heldShare} from './memory.js';
import {cacheLabel} from './policies.js';
import {GrowthChart, RetentionMap} from './retention.js';

const count = (value) => Math.round(value).toLocaleString('en');

/** "9.3 / 22.0 MiB", in the unit of the larger one. */
function bytesText(held, full) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  const larger = Math.max(held, full, 1);
  const unit = Math.min(Math.floor(Math.log2(larger) / 10), units.length - 1);
  const text = (bytes) => (bytes / 1024 ** unit).toFixed(unit > 0 ? 1 : 0);
  return `${text(held)} / ${text(full)} ${units[unit]}`;
}

/** One answer's memory. */
export class MemoryView {
  constructor() {
    this.label = h('h3', {class: 'memory-label'});
    this.ratio = h('strong', {class: 'ratio'});
    this.ratioNote = h('span');
    this.seen = h('dd');
    this.held = h('dd');
    this.bytes = h('dd');
    this.pagesNote = h('p', {class: 'hint', hidden: true},
      'Memory goes by whole pages: a short conversation takes more than its tokens.');
    this.fill = h('div', {class: 'meter-fill'});
    this.map = new RetentionMap();
    this.chart = new GrowthChart();
    this.element = h('section', {class: 'memory-view'},
      this.label,
      h('p', {class: 'ratio-line'}, this.ratio, this.ratioNote),
      h('div', {class: 'meter', 'aria-hidden': 'true'}, this.fill),
      h('dl', {class: 'facts'},
        h('div', {}, h('dt', {}, 'Tokens seen'), this.seen),
        h('div', {}, h('dt', {}, 'Held per head'), this.held),
        h('div', {}, h('dt', {}, 'Bytes / full cache'), this.bytes)),
      this.pagesNote,
      this.map.element,
      this.chart.element);
  }

  /** @param {import('./conversation.js').Message|null} message */
  show(message, info) {
    const memory = message?.memory?.tokens ? message.memory : null;
    this.label.textContent = message?.cache ? cacheLabel(message.cache, info) : '';
    setAttributes(this.element, {'data-empty': !memory});
    const share = memory ? heldShare(memory) : 0;
    this.ratio.textContent = memory ? `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %` : '';
    this.ratioNote.textContent = memory ? ' held of a full cache' : 'Nothing is held yet';
    this.fill.style.setProperty('--share', share);
    this.seen.textContent = memory ? count(memory.tokens) : '–';
    this.held.textContent = memory ? count(memory.held / memory.heads) : '–';
    this.bytes.textContent = memory ? bytesText(memory.bytes, memory.denseBytes) : '–';
    this.pagesNote.hidden = !memory || memory.bytes <= memory.denseBytes;
    this.map.show(memory, info);
    this.chart.show(memory);
  }
}

export class MemoryPanel {
  /** `controls`: what the next turn's caches are chosen with. */
  constructor(element, {controls, isShaded, onShade, onClose}) {
    this.views = [new MemoryView(), new MemoryView()];
    this.pair = h('div', {class: 'memory-views'}, ...this.views.map((view) => view.element));
    const shade = h('input', {
      type: 'checkbox', role: 'switch', id: 'shade', checked: isShaded,
      on: {change: () => onShade(shade.checked)},
    });
    element.append(
      h('header', {class: 'panel-head'},
        h('h2', {}, 'Memory'),
        h('button', {class: 'quiet close', type: 'button', on: {click: onClose}}, 'Close')),
      this.pair,
      h('section', {class: 'shading'},
        h('label', {class: 'switch'}, shade, h('span', {}, 'Shade the conversation')),
        h('p', {class: 'hint'}, 'Each token by how many heads still remember it'),
        h('div', {class: 'scale', 'aria-hidden': 'true'}, h('span', {}, 'no head'), h('i'), h('span', {}, 'all'))),
      h('section', {class: 'next-turn'}, h('h3', {}, 'Next turn'), controls));
  }

  /** @param {import('./conversation.js').Message[]} messages one, or two that are compared */
  show(messages, info) {
    this.pair.classList.toggle('is-pair', messages.length > 1);
    this.views.forEach((view, i) => {
      view.element.hidden = i > 0 && messages.length < 2;
      view.show(messages[i] ?? null, info);
    });
  }
}
