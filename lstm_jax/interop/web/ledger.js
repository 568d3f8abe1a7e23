// The exact ledger: what each word wrote into the memory, as far as it reached a logit.
//
// c_T = Σ_t S_t ∘ i_t ∘ g_t with the survival S_t = ∏_{s>t} f_s. For a target Σ_t w_t · h_t let
// q_t = w_t ∘ h_t / c_t and r_t = q_t + f_{t+1} ∘ r_{t+1}; then it is Σ_t R_t with
// R_t = Σ_units r_t ∘ i_t ∘ g_t, and no rest.

const TINY = 1.1754943508222875e-38; // below it a division says nothing in float32

/**
 * The map from the outputs of the last layer to a target: of each direction, the weight of
 * h_t [count, size].
 *
 * @param head the weights of the pooled features in the target.
 */
function outputWeights({ pooling, merge, size }, { directions, parts, attention }, head, count) {
  const hidden = directions.map((each) => each.steps.hidden);
  if (pooling === "last") return lastWeights(directions, merge, head, count, size);
  const pools = pooling.split("_");
  const found = parts.map(() => new Float64Array(count * size));
  pools.forEach((pool, number) => {
    parts.forEach((part, place) => {
      const mine = head.subarray((number * parts.length + place) * size);
      const into = found[place];
      const winners = pool === "max" ? largest(part, size, count) : null;
      for (let u = 0; u < size; u++) {
        if (winners) into[winners[u] * size + u] += mine[u];
        else for (let t = 0; t < count; t++) into[t * size + u] += mine[u] * share(t, attention, count);
      }
    });
  });
  if (hidden.length === 1 || merge === "concat") return found;
  return unmerged(found[0], merge, hidden);
}

/** The weights of each direction's outputs, from those of the merged ones. */
function unmerged(weights, merge, [forward, backward]) {
  if (merge === "mul") {
    return [backward, forward].map((other) => weights.map((weight, n) => (weight * other[n]) / 2));
  }
  const share = merge === "mean" ? 0.5 : 1;
  return [0, 1].map(() => weights.map((weight) => weight * share));
}

/** The weights where the last step that each direction reads is all that counts. */
function lastWeights(directions, merge, head, count, size) {
  const ends = directions.map(({ reverse, steps }) => {
    const at = (reverse ? 0 : count - 1) * size;
    return { at, hidden: steps.hidden.subarray(at, at + size) };
  });
  return ends.map(({ at }, place) => {
    const weights = new Float64Array(count * size);
    for (let u = 0; u < size; u++) {
      let weight = head[u];
      if (ends.length === 2 && merge === "concat") weight = head[place * size + u];
      if (ends.length === 2 && merge === "mean") weight /= 2;
      if (ends.length === 2 && merge === "mul") weight *= ends[1 - place].hidden[u] / 2;
      weights[at + u] = weight;
    }
    return weights;
  });
}

/** The pooled features, laid side by side. */
function pooled({ pooling, merge, size }, { directions, parts, attention }, count) {
  if (pooling === "last") {
    const ends = directions.map(({ reverse, steps }) => {
      const at = (reverse ? 0 : count - 1) * size;
      return steps.hidden.subarray(at, at + size);
    });
    return sideBySide(mergedParts(ends, merge), size, 1, size * mergedParts(ends, merge).length);
  }
  const features = pooling.split("_").flatMap((pool) =>
    parts.map((part) => {
      const feature = new Float64Array(size);
      const winners = pool === "max" ? largest(part, size, count) : null;
      for (let u = 0; u < size; u++) {
        if (winners) feature[u] = part[winners[u] * size + u];
        else for (let t = 0; t < count; t++) feature[u] += share(t, attention, count) * part[t * size + u];
      }
      return feature;
    }),
  );
  return Float64Array.from(features.flatMap((each) => [...each]));
}

/** How much step t counts in a mean: alike, or as attention says. */
const share = (t, attention, count) => (attention ? attention[t] : 1 / count);

/** What each step contributes to the target, R_t [count], of one direction. */
function stepLedger({ steps, reverse }, weights, count, size) {
  const { input, forget, candidate, output, cell, hidden } = steps;
  const found = new Float64Array(count);
  const later = new Float64Array(size); // f_{t+1} ∘ r_{t+1}
  for (let n = 0; n < count; n++) {
    const t = reverse ? n : count - 1 - n;
    for (let u = 0, at = t * size; u < size; u++, at++) {
      const shown = Math.abs(cell[at]) < TINY ? output[at] : hidden[at] / cell[at];
      const reached = weights[at] * shown + later[u];
      found[t] += reached * input[at] * candidate[at];
      later[u] = forget[at] * reached;
    }
  }
  return found;
}

/** The share of what each step wrote that is left after the last step read: [count, size]. */
function survival({ steps, reverse }, count, size) {
  const left = new Float32Array(count * size);
  const product = new Float64Array(size).fill(1);
  for (let n = 0; n < count; n++) {
    const t = reverse ? n : count - 1 - n;
    for (let u = 0, at = t * size; u < size; u++, at++) {
      left[at] = product[u];
      product[u] *= steps.forget[at];
    }
  }
  return left;
}

/** Of all that a step wrote into the units, the share that survives: Σ S |i g| / Σ |i g|, [count]. */
function survivingShare({ steps }, left, count, size) {
  return Float64Array.from({ length: count }, (_, t) => {
    let wrote = 0;
    let kept = 0;
    for (let at = t * size; at < (t + 1) * size; at++) {
      const amount = Math.abs(steps.input[at] * steps.candidate[at]);
      wrote += amount;
      kept += amount * left[at];
    }
    return wrote > 0 ? kept / wrote : 0;
  });
}
