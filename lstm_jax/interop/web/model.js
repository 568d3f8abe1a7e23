// A trained run: from a text to probabilities, and from a class to what each word counts for it.

class Model {
  /** Opens what Python packed: a description, and a base64 text with the tables. */
  static async open(described, base64) {
    return new Model(described, openTables(described.tables, await inflate(base64)));
  }

  constructor(described, tables) {
    Object.assign(this, described);
    const { config } = described;
    this.tables = tables;
    this.tokenizer = new Tokenizer(described.rules, JSON.parse(tables.words), tables.merges);
    this.size = config.hiddenSize;
    this.layers = Array.from({ length: config.layers }, (_, layer) =>
      config.directions.map((name) => {
        const options = { ...config, reverse: name === "backward" };
        return new Direction(tables, `layer_${layer}/${name}`, options);
      }),
    );
    this.width = this.layers[0][0].inputKernel.inputs;
    this.keys = config.ngrams.map((length) => tables[`keys_of_${length}`]);
    this.vectors = [tables.table, ...config.ngrams.map((length) => tables[`ngrams_of_${length}`])];
    const lengths = [1, ...config.ngrams];
    this.linear = config.linear && {
      bias: tables["linear/bias"],
      weights: lengths.map((length) => tables[`linear/weights_of_${length}`]),
      squares: lengths.map((length) => tables[`linear/squares_of_${length}`]),
    };
    this.attention = config.pooling === "attention" && {
      keys: matrix(tables["attention/keys"]),
      bias: tables["attention/bias"],
      query: tables["attention/query"],
    };
  }

  /**
   * Reads a text.
   *
   * @returns {tokens, ids, layers, logits, probabilities, ...}. `tokens` are all of the text;
   *     `token[n]` is the token that step n read, or null where it read padding.
   */
  read(text) {
    const tokens = this.tokenizer.encode(text);
    const { head, tail, padFront } = this.config;
    let read = tokens.length <= head + tail ? tokens
      : [...tokens.slice(0, head), ...tokens.slice(tokens.length - tail)];
    if (padFront) read = [...Array(head + tail - read.length).fill(null), ...read];
    const steps = Int32Array.from(read, (token) => token?.id ?? PADDING);
    const ids = ngramIds(steps, this.keys, this.tokenizer.words.length);
    const vectors = vectorsOf(ids, this.vectors, this.width);
    const keys = Array.from(steps, (_, t) => ids.map((of) => of[t]).join());
    const layers = this.run(vectors.sum, steps.length, keys);
    const linear = this.linear && linearModel(ids, this.linear);
    const reading = { tokens, read, ids, vectors, layers, linear, count: steps.length };
    const logits = this.logits(reading);
    return { ...reading, logits, probabilities: this.probabilities(logits) };
  }

  /** Every layer over vectors [count, width]: its directions with their steps, and its outputs. */
  run(vectors, count, keys) {
    const { merge } = this.config;
    return this.layers.map((directions, layer) => {
      const read = directions.map((each) => ({
        reverse: each.reverse,
        steps: each.read(vectors, count, layer === 0 ? keys : null),
      }));
      const parts = mergedParts(read.map((each) => each.steps.hidden), merge);
      const next = this.layers[layer + 1]?.[0].inputKernel.inputs;
      if (next) vectors = sideBySide(parts, this.size, count, next);
      const last = layer === this.layers.length - 1;
      const weights = last && this.attention && attention(parts, this.size, count, this.attention);
      return { directions: read, parts, attention: weights || undefined };
    });
  }

  logits({ layers, linear, ids, count }) {
    const { outputs, pooling, merge } = this.config;
    const kernel = this.tables["head/kernel"];
    const features = pooled({ pooling, merge, size: this.size }, layers.at(-1), count);
    return Float64Array.from({ length: outputs }, (_, logit) => {
      let sum = this.tables["head/bias"][logit];
      for (let n = 0; n < features.length; n++) sum += features[n] * kernel[n * outputs + logit];
      if (!linear) return sum;
      sum += linear.bias[logit];
      ids.forEach((of, number) => {
        for (let t = 0; t < count; t++) sum += linear.weight(number, t, logit);
      });
      return sum;
    });
  }

  probabilities(logits) {
    const scaled = logits.map((logit) => logit / this.config.temperature);
    if (scaled.length > 1) return softmax(scaled);
    return Float64Array.of(sigmoid(-scaled[0]), sigmoid(scaled[0]));
  }

  /**
   * The weights of the logits in the target that speaks for a class: its logit, of two classes
   * the one logit or its negative, of more less the mean of all.
   */
  target(of) {
    const { outputs } = this.config;
    if (outputs === 1) return Float64Array.of(of === 1 ? 1 : -1);
    return Float64Array.from({ length: outputs }, (_, n) => (n === of ? 1 : 0) - 1 / outputs);
  }

  /**
   * What each step's token counts for a class.
   *
   * @returns {words, lstm, linear, bias, value}: [count] each, words = lstm + linear; the biases;
   *     and the target, which the words and the biases add up to.
   */
  explain(reading, of) {
    const { ids, layers, linear, vectors, logits, count } = reading;
    const { outputs, pooling, merge } = this.config;
    const target = this.target(of);
    const kernel = this.tables["head/kernel"];
    const head = Float64Array.from({ length: kernel.length / outputs }, (_, n) =>
      target.reduce((sum, weight, logit) => sum + weight * kernel[n * outputs + logit], 0),
    );
    const last = layers.at(-1);
    const weights = outputWeights({ pooling, merge, size: this.size }, last, head, count);
    const steps = new Float64Array(count);
    last.directions.forEach((direction, n) => {
      stepLedger(direction, weights[n], count, this.size).forEach((value, t) => (steps[t] += value));
    });
    const ofLSTM = divided(steps, vectors, this.width);
    const dot = (numbers) => target.reduce((sum, weight, n) => sum + weight * numbers[n], 0);
    let ofLinear = new Float64Array(count);
    let bias = dot(this.tables["head/bias"]);
    if (linear) {
      bias += dot(linear.bias);
      const credit = (number, t) =>
        target.reduce((sum, weight, logit) => sum + weight * linear.weight(number, t, logit), 0);
      ofLinear = toWords(ids.map((numbers, n) => Float64Array.from(numbers, (_, t) => credit(n, t))));
    }
    const words = ofLSTM.map((value, t) => value + ofLinear[t]);
    return { words, lstm: ofLSTM, linear: ofLinear, bias, value: dot(logits) };
  }
}
