// Drawings of a memory: which heads hold how much, and how that grew.

import {arrange, h, setAttributes} from './dom.js';
import {shape} from './icons.js';
import {heldShare} from './memory.js';

const percent = (share) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
const CHART = {width: 240, height: 72};

/** A grid, a row a layer and a column a head. */
export class RetentionMap {
  constructor() {
    this.grid = h('div', {class: 'map', role: 'img'});
    this.element = h('div', {class: 'map-frame'}, this.grid, h('div', {class: 'map-note'}));
    this.cells = [];
    this.grid.addEventListener('pointerover', (event) => this.#tell(event.target));
    this.grid.addEventListener('pointerleave', () => this.#tell(null));
  }

  /** @param {import('./memory.js').Memory|null} memory null: nothing in any of the model's heads */
  show(memory, info) {
    const rows = memory?.perHead ??
      Array.from({length: info?.layers ?? 0}, () => new Array(info.kv_heads).fill(0));
    const columns = rows[0]?.length ?? 0;
    if (this.cells.length !== rows.length * columns) this.#rebuild(rows.length, columns);
    this.tokens = memory?.tokens ?? 0;
    let least = 1;
    let most = 0;
    rows.flat().forEach((held, index) => {
      const share = this.tokens > 0 ? held / this.tokens : 0;
      least = Math.min(least, share);
      most = Math.max(most, share);
      this.cells[index].held = held;
      // Its root: the few that small budgets leave would all look like none.
      this.cells[index].style.setProperty('--tint', Math.sqrt(share).toFixed(4));
    });
    setAttributes(this.grid, {
      'aria-label': memory
        ? `${rows.length} layers by ${columns} heads. Heads hold from ${percent(least)} to ` +
          `${percent(most)} of ${this.tokens} tokens.`
        : 'Nothing is held yet.',
    });
    this.#tell(null);
  }

  #rebuild(rows, columns) {
    this.cells = Array.from({length: rows * columns}, (_, index) => {
      const cell = h('div', {class: 'map-cell'});
      cell.place = `Layer ${Math.floor(index / columns) + 1}, head ${(index % columns) + 1}`;
      return cell;
    });
    this.grid.style.setProperty('--columns', columns);
    this.grid.style.setProperty('--rows', rows);
    arrange(this.grid, this.cells);
  }

  #tell(cell) {
    const note = this.element.lastChild;
    note.textContent = cell?.place
      ? `${cell.place}: ${cell.held} of ${this.tokens} tokens`
      : this.cells.length
        ? 'a row a layer, a column a head'
        : '';
  }
}

/** How many tokens a head holds on average, against those seen. */
export class GrowthChart {
  constructor() {
    this.full = shape('path', {class: 'chart-full'});
    this.area = shape('path', {class: 'chart-area'});
    this.line = shape('path', {class: 'chart-line'});
    this.svg = shape('svg', {
      viewBox: `0 0 ${CHART.width} ${CHART.height}`, preserveAspectRatio: 'none', role: 'img', class: 'chart',
    }, this.full, this.area, this.line);
    this.element = h('div', {class: 'chart-frame'}, this.svg,
      h('div', {class: 'chart-legend'},
        h('span', {class: 'key key-full'}, 'full cache'), h('span', {class: 'key key-held'}, 'held')));
  }

  show(memory) {
    const history = memory?.history ?? [];
    const end = Math.max(memory?.tokens ?? 0, 1);
    const x = (tokens) => ((tokens / end) * CHART.width).toFixed(1);
    const y = (held) => (CHART.height - (held / end) * (CHART.height - 2)).toFixed(1);
    const points = [[0, 0], ...history].map(([tokens, held]) => `${x(tokens)},${y(held)}`).join('L');
    this.full.setAttribute('d', memory ? `M0,${CHART.height}L${CHART.width},${y(end)}` : '');
    this.line.setAttribute('d', `M${points}`);
    this.area.setAttribute('d', `M${points}L${x(history.at(-1)?.[0] ?? 0)},${CHART.height}Z`);
    this.svg.setAttribute('aria-label',
      memory ? `Held of ${memory.tokens} tokens: ${percent(heldShare(memory))} now.` : 'Nothing yet.');
  }
}
