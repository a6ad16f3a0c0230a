// Line icons, 20 by 20.

const SVG = 'http://www.w3.org/2000/svg';

const PATHS = {
  menu: 'M3 5h14M3 10h14M3 15h14',
  plus: 'M10 4v12M4 10h12',
  close: 'M5 5l10 10M15 5L5 15',
  send: 'M10 16V4M5 9l5-5 5 5',
  stop: 'M6 6h8v8H6z',
  attach: 'M14.5 9.5l-5 5a3.2 3.2 0 01-4.500-4.500l6-6a2.200 2.200 0 013.100 3.100l-5.800 5.800a1.100 1.100 0 01-1.600-1.600l5.300-5.300',
  copy: 'M7 7h9v9H7zM13 7V4H4v9h3',
  edit: 'M12.500 4.500l3 3L7 16H4v-3zM10.500 6.500l3 3',
  again: 'M15.500 8A6 6 0 105 14M16 4v4h-4M5 14a6 6 0 0010.500-1',
  left: 'M12 5l-5 5 5 5',
  right: 'M8 5l5 5-5 5',
  trash: 'M4 6h12M8 6V4h4v2M5.500 6l.8 10h7.400l.8-10',
  tune: 'M4 6h6M14 6h2M4 14h2M10 14h6M12 4v4M8 12v4',
  theme: 'M10 3a7 7 0 100 14zM10 3a7 7 0 010 14',
  memory: 'M4 4h4v4H4zM12 4h4v4h-4zM4 12h4v4H4zM12 12h4v4h-4z',
  file: 'M6 3h5l4 4v10H6zM11 3v4h4',
  check: 'M4 10.500l4 4 8-9',
};

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** An element of a drawing. */
export function shape(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}
