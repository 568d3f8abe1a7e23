// Texts to ids, as the Rust library `tokenizers` does it, with the rules of the run's own
// tokenizer.json; and where in the text each token stands.

const UNKNOWN = 2;
const START = 1;

// What Unicode calls white space, as Rust and Oniguruma do; JavaScript's \s is another set.
const SPACES = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const OUTER_SPACES = new RegExp(`^[${SPACES}]+|[${SPACES}]+$`, "gu");

/** An expression of the tokenizer's file, written as JavaScript wants it. */
function expression(pattern) {
  const source = pattern
    .replaceAll("[\\s\\S]", "[^]")
    .replaceAll("\\s", `[${SPACES}]`)
    .replace(/\\([#&~ \t\n])/g, "$1");
  return new RegExp(source, "gu");
}

/**
 * A text that is being normalised: `starts` and `ends` say for each of its units (UTF-16) from
 * where to where in the typed text it came from.
 */
function typed(text) {
  const starts = Array.from({ length: text.length }, (_, n) => n);
  return { text, starts, ends: starts.map((n) => n + 1) };
}

/** Puts other texts in the place of parts: each of `parts` is [from, to, replacement], in order. */
function rewritten(old, parts) {
  const texts = [];
  const starts = [];
  const ends = [];
  let done = 0;
  const keep = (to) => {
    texts.push(old.text.slice(done, to));
    for (; done < to; done++) {
      starts.push(old.starts[done]);
      ends.push(old.ends[done]);
    }
  };
  for (const [from, to, replacement] of parts) {
    keep(from);
    texts.push(replacement);
    for (let n = 0; n < replacement.length; n++) {
      starts.push(old.starts[from]);
      ends.push(old.ends[to - 1]);
    }
    done = to;
  }
  keep(old.text.length);
  return { text: texts.join(""), starts, ends };
}

/** Replaces every match of an expression by what a function makes of it. */
function replaced(old, pattern, replacement) {
  const parts = [];
  for (const { 0: match, index } of old.text.matchAll(pattern)) {
    const other = replacement(match);
    if (other !== match) parts.push([index, index + match.length, other]);
  }
  return parts.length ? rewritten(old, parts) : old;
}

// What can become one character with others: letters with their marks, parts of Korean syllables.
const CLUSTERS = /[\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff]+|[^][\p{M}\uff9e\uff9f]*/gu;

/** Composes letters and marks. A cluster that this misses costs places, and no letter. */
function composed(old, form) {
  const whole = old.text.normalize(form);
  if (whole === old.text) return old;
  const found = replaced(old, CLUSTERS, (cluster) => cluster.normalize(form));
  if (found.text === whole) return found;
  const all = [[0, old.text.length, whole]];
  return rewritten(old, all);
}

const STEPS = {
  NFC: (old) => composed(old, "NFC"),
  NFKC: (old) => composed(old, "NFKC"),
  // Letter by letter: a whole text would end in another sigma than Rust's.
  Lowercase: (old) => replaced(old, /[^\p{Ll}\s\d]/gu, (letter) => letter.toLowerCase()),
  Replace: (old, { pattern, content }) => replaced(old, pattern, () => content),
  Strip: (old) => replaced(old, OUTER_SPACES, () => ""),
};

class Tokenizer {
  /**
   * @param rules {normalizers, pattern, matches, ends}: the steps of normalising; the expression
   *     that matches tokens, or, unless `matches`, what stands between them; whether the start
   *     token stands at the end too.
   * @param words every token by its id.
   * @param merges pairs of ids that become one piece, the first first; none of whole words.
   */
  constructor(rules, words, merges) {
    this.words = words;
    this.ids = new Map(words.map((word, id) => [word, id]));
    this.steps = rules.normalizers.map((step) => {
      const { String: exact, Regex: regular } = step.pattern ?? {};
      const pattern = regular === undefined ? exact : expression(regular);
      return [STEPS[step.type], { ...step, pattern }];
    });
    this.pattern = expression(rules.pattern);
    this.matches = rules.matches;
    this.ends = rules.ends;
    this.merges = merges && new Map();
    for (let rank = 0; merges && 2 * rank < merges.length; rank++) {
      const [first, second] = merges.subarray(2 * rank, 2 * rank + 2);
      const id = this.ids.get(words[first] + words[second]);
      this.merges.set(first * words.length + second, { rank, id });
    }
  }

  /**
   * The tokens of a text, the start token first.
   *
   * @returns a list of {id, start, end}: the token stands there in the text (UTF-16 units).
   */
  encode(text) {
    const well = text.replace(/\p{Surrogate}/gu, "\ufffd");
    let normal = typed(well);
    for (const [step, options] of this.steps) normal = step(normal, options);
    const tokens = [{ id: START, start: 0, end: 0 }];
    const push = (id, from, to) =>
      tokens.push({ id, start: normal.starts[from], end: normal.ends[to - 1] });
    for (const [from, to] of this.cut(normal.text)) {
      const word = normal.text.slice(from, to);
      if (!this.merges) push(this.ids.get(word) ?? UNKNOWN, from, to);
      else for (const piece of this.pieces(word)) push(piece.id, from + piece.from, from + piece.to);
    }
    if (this.ends) tokens.push({ id: START, start: text.length, end: text.length });
    return tokens;
  }

  /** From where to where the words of a normalised text stand. */
  cut(text) {
    const found = [];
    let last = 0;
    for (const { 0: match, index } of text.matchAll(this.pattern)) {
      const end = index + match.length;
      if (this.matches) found.push([index, end]);
      else if (index > last) found.push([last, index]);
      last = end;
    }
    if (!this.matches && last < text.length) found.push([last, text.length]);
    return found;
  }

  /** The pieces of a word: the pair that was merged first in training becomes one, and again. */
  pieces(word) {
    let from = 0;
    const pieces = Array.from(word, (letter) => {
      const piece = { id: this.ids.get(letter) ?? UNKNOWN, from, to: from + letter.length };
      from = piece.to;
      return piece;
    });
    for (;;) {
      let best = null;
      let place = -1;
      for (let n = 0; n + 1 < pieces.length; n++) {
        const merge = this.merges.get(pieces[n].id * this.words.length + pieces[n + 1].id);
        if (merge && (!best || merge.rank < best.rank)) [best, place] = [merge, n];
      }
      if (!best) return pieces;
      const { to } = pieces[place + 1];
      pieces.splice(place, 2, { id: best.id, from: pieces[place].from, to });
    }
  }
}
