// What belongs to words: their n-grams, their vectors, and the linear model beside the LSTM.

const PADDING = 0;

/** The place of a number in an ascending array, or `missing`. */
function placeOf(keys, wanted, missing) {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return keys[low] === wanted ? low : missing;
}

/**
 * The tokens, then the n-grams of two tokens that end at each of them, of three, ...
 *
 * @returns a list of arrays [count]; the size of the table where no n-gram that is known ends.
 */
function ngramIds(tokens, keys, vocabularySize) {
  const found = [tokens];
  let none = PADDING;
  for (const known of keys) {
    const firsts = found.at(-1);
    const ids = new Int32Array(tokens.length).fill(known.length);
    for (let t = 1; t < tokens.length; t++) {
      if (firsts[t - 1] === none) continue;
      ids[t] = placeOf(known, firsts[t - 1] * vocabularySize + tokens[t], known.length);
    }
    found.push(ids);
    none = known.length;
  }
  return found;
}

/** Of each step, the vectors of the token and of the n-grams that end there, and the sum. */
function vectorsOf(ids, tables, width) {
  const count = ids[0].length;
  const parts = ids.map((of, number) => {
    const part = new Float32Array(count * width);
    const table = tables[number];
    for (let t = 0; t < count; t++) if (of[t] < table.rows) addRow(table, of[t], part, t * width);
    return part;
  });
  const sum = parts[0].slice();
  for (const part of parts.slice(1)) for (let n = 0; n < sum.length; n++) sum[n] += part[n];
  return { parts, sum };
}

/**
 * What the words add to each logit by the linear model.
 *
 * @returns {length, bias, rows}: what weights are divided by, the bias of each logit, and
 *     a function of (size, step, logit) that gives the weight of an n-gram of so many tokens.
 */
function linearModel(ids, tables) {
  let squares = 0;
  ids.forEach((of, number) => {
    const known = tables.squares[number];
    for (const id of of) if (id < known.length) squares += known[id];
  });
  const length = Math.sqrt(squares > 0 ? squares : 1);
  const weight = (number, t, logit) => {
    const { values, scales, step, columns } = tables.weights[number];
    const id = ids[number][t];
    return id < columns ? (values[logit * columns + id] * scales[logit] * step) / length : 0;
  };
  return { bias: tables.bias, weight };
}

/** Credits of n-grams [sizes][count], divided among their words alike: [count]. */
function toWords(parts) {
  const total = Float64Array.from(parts[0]);
  parts.slice(1).forEach((part, number) => {
    const size = number + 2;
    for (let t = 0; t < part.length; t++) {
      if (part[t] === 0) continue;
      for (let back = 0; back < size && back <= t; back++) total[t - back] += part[t] / size;
    }
  });
  return total;
}

/**
 * Credits of steps [count], divided among the words whose vectors a step reads.
 *
 * A part v of the sum x gets the share v · x / x · x: all shares of a step add up to one.
 */
function divided(steps, { parts, sum }, width) {
  if (parts.length === 1) return Float64Array.from(steps);
  const credits = parts.map(() => new Float64Array(steps.length));
  for (let t = 0; t < steps.length; t++) {
    const products = parts.map(() => 0);
    let square = 0;
    for (let n = t * width; n < (t + 1) * width; n++) {
      square += sum[n] * sum[n];
      parts.forEach((part, number) => (products[number] += part[n] * sum[n]));
    }
    products.forEach((product, number) => {
      const whole = number === 0 ? 1 : 0;
      credits[number][t] = steps[t] * (square === 0 ? whole : product / square);
    });
  }
  return toWords(credits);
}
