// The LSTM itself: layers and directions, with every gate and state kept, and the pooling.

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
// In half the time of Math.tanh, and as exact as float32 holds it.
const tanh = (x) => 2 / (1 + Math.exp(-2 * x)) - 1;

/**
 * One direction of a layer: its weights, and the steps of the text that it read last.
 *
 * i = σ(x W_i + h U_i + p_i ∘ c + b_i), f and o likewise, g = tanh(x W_g + h U_g + b_g),
 * c = f ∘ c + i ∘ g, h = o ∘ tanh(c); o sees the new c. Coupled: f = 1 - i. Without peepholes p = 0.
 */
class Direction {
  constructor(tables, name, { hiddenSize, coupled, reverse }) {
    const numbers = (part, size) => tables[`${name}/${part}`] ?? new Float32Array(size);
    const gates = coupled ? 3 : 4;
    this.reverse = reverse;
    this.coupled = coupled;
    this.size = hiddenSize;
    this.inputKernel = matrix(tables[`${name}/input_kernel`]);
    this.recurrentKernel = matrix(tables[`${name}/recurrent_kernel`]);
    this.bias = numbers("bias", gates * hiddenSize);
    this.peepholes = numbers("peepholes", 3 * hiddenSize);
    if (coupled) {  // of i and o only; nothing sees those of f
      const [i, o] = [this.peepholes.slice(0, hiddenSize), this.peepholes.slice(hiddenSize)];
      this.peepholes = Float32Array.from([...i, ...i, ...o.slice(0, hiddenSize)]);
    }
    this.projections = new Map();
    this.last = { keys: [], steps: null };
  }

  /**
   * Reads vectors [count, inputs].
   *
   * @param keys equal for equal vectors, or null where nobody knows. While someone types, what
   *     is known of the words that stay is not computed again.
   * @returns {input, forget, candidate, output, cell, hidden}, each a Float32Array [count, size].
   */
  read(vectors, count, keys) {
    const projected = this.project(vectors, count, keys);
    const names = ["input", "forget", "candidate", "output", "cell", "hidden"];
    const steps = Object.fromEntries(
      names.map((name) => [name, new Float32Array(count * this.size)]),
    );
    const first = keys ? this.reuse(steps, keys) : 0;
    const outputs = this.inputKernel.outputs;
    const z = new Float32Array(outputs);
    const hidden = new Float32Array(this.recurrentKernel.inputs);
    const at = (n) => (this.reverse ? count - 1 - n : n);
    if (first > 0) hidden.set(this.row(steps.hidden, at(first - 1)));
    for (let n = first; n < count; n++) {
      z.set(projected[at(n)]);
      multiply(this.recurrentKernel, hidden, z);
      this.step(z, steps, at(n), n > 0 ? at(n - 1) : -1);
      hidden.set(this.row(steps.hidden, at(n)));
    }
    this.last = { keys: keys ?? [], steps };
    return steps;
  }

  row(array, t) {
    return array.subarray(t * this.size, (t + 1) * this.size);
  }

  /** One step from what enters the gates, its numbers written at `t`; the step before is `from`. */
  step(z, steps, t, from) {
    const { size, peepholes, coupled, bias } = this;
    const { input, forget, candidate, output, cell, hidden } = steps;
    const [ofF, ofG, ofO] = coupled ? [0, size, 2 * size] : [size, 2 * size, 3 * size];
    for (let u = 0, now = t * size, before = from * size; u < size; u++, now++, before++) {
      const c = from < 0 ? 0 : cell[before];
      const i = sigmoid(z[u] + bias[u] + peepholes[u] * c);
      const f = coupled ? 1 - i : sigmoid(z[ofF + u] + bias[ofF + u] + peepholes[size + u] * c);
      const g = tanh(z[ofG + u] + bias[ofG + u]);
      const next = f * c + i * g;
      const o = sigmoid(z[ofO + u] + bias[ofO + u] + peepholes[2 * size + u] * next);
      input[now] = i;
      forget[now] = f;
      candidate[now] = g;
      output[now] = o;
      cell[now] = next;
      hidden[now] = o * tanh(next);
    }
  }

  /** The products x W of every step, a row each; of equal vectors one. */
  project(vectors, count, keys) {
    const { inputs, outputs } = this.inputKernel;
    if (this.projections.size > 4000) this.projections.clear();
    const known = keys ? this.projections : new Map();
    const named = keys ?? Array.from({ length: count }, (_, t) => t);
    const missing = new Map();
    named.forEach((key, t) => {
      if (!known.has(key)) missing.set(key, t);
    });
    const rows = new Float32Array(upTo(missing.size, 2) * inputs);
    [...missing.values()].forEach((t, n) => {
      rows.set(vectors.subarray(t * inputs, (t + 1) * inputs), n * inputs);
    });
    const products = multiplyAll(this.inputKernel, rows, upTo(missing.size, 2));
    [...missing.keys()].forEach((key, n) => {
      known.set(key, products.slice(n * outputs, (n + 1) * outputs));
    });
    return named.map((key) => known.get(key));
  }

  /** Copies the steps that the last text began with as well; says how many. */
  reuse(steps, keys) {
    const { keys: old, steps: from } = this.last;
    const oldAt = (n) => (this.reverse ? old.length - 1 - n : n);
    const at = (n) => (this.reverse ? keys.length - 1 - n : n);
    let same = 0;
    while (same < Math.min(old.length, keys.length) && old[oldAt(same)] === keys[at(same)]) same++;
    if (same === 0) return 0;
    const [start, oldStart] = this.reverse ? [at(same - 1), oldAt(same - 1)] : [0, 0];
    for (const [name, array] of Object.entries(steps)) {
      const begin = oldStart * this.size;
      array.set(from[name].subarray(begin, begin + same * this.size), start * this.size);
    }
    return same;
  }
}

const MERGES = {
  sum: (forward, backward) => forward + backward,
  mean: (forward, backward) => (forward + backward) / 2,
  mul: (forward, backward) => forward * backward,
};

/** The outputs of a layer [count, size] in parts: one a direction if side by side, else one. */
function mergedParts(hidden, merge) {
  if (hidden.length === 1 || merge === "concat") return hidden;
  const [forward, backward] = hidden;
  return [forward.map((value, n) => MERGES[merge](value, backward[n]))];
}

/** Parts [count, size] side by side, each row filled up with zeros to a width. */
function sideBySide(parts, size, count, width) {
  const whole = new Float32Array(count * width);
  parts.forEach((part, place) => {
    for (let t = 0; t < count; t++) {
      whole.set(part.subarray(t * size, (t + 1) * size), t * width + place * size);
    }
  });
  return whole;
}

/** The first step at which each feature is largest. */
function largest(part, size, count) {
  const winners = new Int32Array(size);
  for (let t = 1; t < count; t++) {
    for (let u = 0; u < size; u++) {
      if (part[t * size + u] > part[winners[u] * size + u]) winners[u] = t;
    }
  }
  return winners;
}

/** How much each step counts: softmax(v · tanh(W y_t)). */
function attention(parts, size, count, { keys, bias, query }) {
  const outputs = sideBySide(parts, size, count + (count % 2), keys.inputs);
  const products = multiplyAll(keys, outputs, count + (count % 2));
  const scores = new Float64Array(count);
  for (let t = 0; t < count; t++) {
    for (let n = 0; n < query.length; n++) {
      scores[t] += query[n] * Math.tanh(products[t * keys.outputs + n] + bias[n]);
    }
  }
  return softmax(scores);
}

function softmax(scores) {
  const top = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = scores.map((score) => Math.exp(score - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
