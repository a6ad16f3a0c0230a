// TeX's formulas as text that can be read: commands become the letters that they stand for, indices
// are raised and lowered. What it does not know stays as it was written.

/**
 * @typedef {{kind: 'text', text: string} | {kind: 'sup'|'sub', children: Tex[]} | {kind: 'break'}} Tex
 */

const DEEPEST_TEX = 8;

/** "a 1 b 2": pairs. A map: a formula may hold the names of what every object has. */
function mapOf(pairs) {
  const words = pairs.split(' ');
  return new Map(words.flatMap((word, i) => (i % 2 === 0 ? [[word, words[i + 1]]] : [])));
}

const SYMBOLS = mapOf('alpha α beta β gamma γ delta δ epsilon ε varepsilon ε zeta ζ eta η theta θ ' +
  'iota ι kappa κ lambda λ mu μ nu ν xi ξ pi π rho ρ sigma σ tau τ upsilon υ phi φ varphi φ chi χ ' +
  'psi ψ omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Phi Φ Psi Ψ Omega Ω ' +
  'cdot · times × div ÷ pm ± mp ∓ ast ∗ circ ∘ oplus ⊕ otimes ⊗ odot ⊙ leq ≤ le ≤ geq ≥ ge ≥ ' +
  'neq ≠ ne ≠ approx ≈ equiv ≡ sim ∼ simeq ≃ cong ≅ propto ∝ ll ≪ gg ≫ to → rightarrow → ' +
  'leftarrow ← leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ implies ⇒ iff ⇔ ' +
  'longrightarrow ⟶ mapsto ↦ sum ∑ prod ∏ int ∫ iint ∬ oint ∮ partial ∂ nabla ∇ infty ∞ in ∈ ' +
  'notin ∉ subset ⊂ subseteq ⊆ supset ⊃ supseteq ⊇ cup ∪ cap ∩ setminus ∖ emptyset ∅ forall ∀ ' +
  'exists ∃ neg ¬ lnot ¬ land ∧ wedge ∧ lor ∨ vee ∨ mid | vert | Vert ‖ parallel ∥ perp ⊥ ' +
  'angle ∠ ldots … dots … cdots ⋯ vdots ⋮ ddots ⋱ langle ⟨ rangle ⟩ lfloor ⌊ rfloor ⌋ lceil ⌈ ' +
  'rceil ⌉ prime ′ hbar ℏ ell ℓ therefore ∴ because ∵ blacksquare ■ square □');
const ACCENTS = mapOf('hat \u0302 widehat \u0302 bar \u0304 overline \u0304 vec \u20d7 dot \u0307 ' +
  'ddot \u0308 tilde \u0303 widetilde \u0303');
const DOUBLE_STRUCK = mapOf('C ℂ E 𝔼 N ℕ P ℙ Q ℚ R ℝ Z ℤ');
const NAMES = new Set(('sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp lim max ' +
  'min sup inf det dim ker gcd deg arg Pr mod bmod').split(' '));
// Of these nothing is seen, or what follows them in braces.
const UNSEEN = new Set(('left right big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle limits ' +
  'nolimits nonumber text textbf textit textrm mbox mathrm mathbf mathit mathsf mathtt mathcal ' +
  'mathfrak mathscr boldsymbol bm operatorname boxed underline').split(' '));
const FRACTIONS = new Set(['frac', 'dfrac', 'tfrac', 'cfrac']);

/** @returns {Tex[]} */
export function parseTex(text) {
  return new TexReader(text.trim()).group(0);
}

class TexReader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  /** Up to the brace that closes it, or to the end. */
  group(depth) {
    const out = [];
    while (this.at < this.text.length) {
      if (this.text[this.at] === '}' && depth > 0) {
        ++this.at;
        break;
      }
      out.push(...this.atom(depth));
    }
    return joined(out);
  }

  /** What stands in braces, or one letter or command. */
  argument(depth) {
    while (this.text[this.at] === ' ') ++this.at;
    return this.at < this.text.length ? this.atom(depth) : [];
  }

  atom(depth) {
    const letter = String.fromCodePoint(this.text.codePointAt(this.at));
    this.at += letter.length;
    const canNest = depth < DEEPEST_TEX;
    switch (letter) {
      case '\\':
        return this.command(depth);
      case '{':
        return canNest ? this.group(depth + 1) : textNodes(letter);
      case '^':
      case '_':
        if (!canNest) return textNodes(letter);
        return [{kind: letter === '^' ? 'sup' : 'sub', children: this.argument(depth + 1)}];
      case '&':
      case '~':
      case '\n':
        return textNodes(' ');
      case '-':
        return textNodes('−');
      case "'":
        return textNodes('′');
      default:
        return textNodes(letter);
    }
  }

  command(depth) {
    const [name] = /^[a-zA-Z]+/.exec(this.text.slice(this.at, this.at + 32)) ?? [''];
    if (!name) return this.mark();
    this.at += name.length;
    if (SYMBOLS.has(name)) return this.symbol(SYMBOLS.get(name));
    if (NAMES.has(name)) return textNodes(/[\\a-zA-Z]/.test(this.text[this.at] ?? '') ? `${name} ` : name);
    if (UNSEEN.has(name)) return this.unseen(name);
    if (name === 'quad' || name === 'qquad') return textNodes('\u2003');
    if (depth >= DEEPEST_TEX) return textNodes(`\\${name}`);
    return this.commandOfOthers(name, depth + 1);
  }

  /** One that says how what follows it looks. */
  commandOfOthers(name, depth) {
    if (FRACTIONS.has(name)) {
      const above = this.argument(depth);
      const below = this.argument(depth);
      return [...inBrackets(above, /^[\p{L}\p{N}.]+$/u), ...textNodes('/'),
        ...inBrackets(below, /^([\p{N}.]+|\p{L})$/u)];
    }
    if (name === 'binom') {
      const [above, below] = [this.argument(depth), this.argument(depth)];
      return [...textNodes('('), ...above, ...textNodes(' choose '), ...below, ...textNodes(')')];
    }
    if (name === 'sqrt') {
      const index = this.optional();
      const root = inBrackets(this.argument(depth), /^([\p{N}.]+|\p{L})$/u);
      return [...(index ? [{kind: 'sup', children: textNodes(index)}] : []), ...textNodes('√'), ...root];
    }
    if (ACCENTS.has(name)) {
      const under = this.argument(depth);
      return /^\p{L}$/u.test(plainOf(under)) ? textNodes(plainOf(under) + ACCENTS.get(name)) : under;
    }
    if (name === 'mathbb') {
      const letters = this.argument(depth);
      return DOUBLE_STRUCK.has(plainOf(letters)) ? textNodes(DOUBLE_STRUCK.get(plainOf(letters))) : letters;
    }
    if (name === 'begin' || name === 'end') {
      const environment = plainOf(this.argument(depth));
      if (name === 'begin' && environment === 'array') this.argument(depth);  // how its columns stand
      return [];
    }
    return textNodes(`\\${name}`);
  }

  /** A backslash before what is no letter. */
  mark() {
    const mark = this.text[this.at] ?? '';
    ++this.at;
    if (mark === '\\') return [{kind: 'break'}];
    if (mark === '!') return [];
    return textNodes(/[,;: \n]/.test(mark) ? ' ' : mark);
  }

  symbol(text) {
    // As TeX has it where letters follow letters: \pi r is πr.
    const isLetter = /[\p{L}∂∇]/u.test(text);
    if (isLetter && /^ [a-zA-Z]/.test(this.text.slice(this.at, this.at + 2))) ++this.at;
    return textNodes(text);
  }

  unseen(name) {
    const isBracket = name === 'left' || name === 'right';
    if (isBracket && this.text[this.at] === '.') ++this.at;
    else if (this.text[this.at] === ' ') ++this.at;
    return [];
  }

  /** What stands in [ ] before an argument. */
  optional() {
    if (this.text[this.at] !== '[') return '';
    const end = this.text.indexOf(']', this.at);
    if (end < 0) return '';
    const inner = this.text.slice(this.at + 1, end);
    this.at = end + 1;
    return inner;
  }
}

const textNodes = (text) => [{kind: 'text', text}];

/** Its text where it is nothing else, else ''. */
const plainOf = (nodes) =>
  nodes.every((node) => node.kind === 'text') ? nodes.map((node) => node.text).join('') : '';

const inBrackets = (nodes, needsNone) =>
  needsNone.test(plainOf(nodes)) ? nodes : [...textNodes('('), ...nodes, ...textNodes(')')];

function joined(nodes) {
  const out = [];
  for (const node of nodes) {
    const last = out.at(-1);
    const isMore = node.kind === 'text' && last?.kind === 'text';
    if (isMore) out[out.length - 1] = {kind: 'text', text: last.text + node.text};
    else out.push(node);
  }
  return out;
}
