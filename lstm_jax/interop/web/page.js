// The page: what is typed is read, and what came out is shown.

const described = JSON.parse(byId("described").textContent);
const opened = Model.open(described, byId("tables").textContent.trim());

const SORTED = 5; // of more classes, the likeliest stand on top

class Page {
  constructor(model) {
    this.model = model;
    this.picked = null; // the class that words are coloured for; null for the likeliest
    this.memory = new Memory(model, (step) => this.point(step));
    this.elements = [];
    const text = byId("text");
    text.addEventListener("input", () => this.soon());
    byId("words").addEventListener("keydown", (event) => this.step(event));
    for (const example of described.examples) {
      const button = element("button", { type: "button", title: example }, example.slice(0, 60));
      button.addEventListener("click", () => this.put(example));
      byId("examples").append(button);
    }
    const classes = described.classes.map((name) => {
      const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("i"));
      return element("button", { type: "button", role: "radio" }, element("b", {}, name), bar, element("em"));
    });
    byId("classes").append(...classes);
    this.classes = classes;
    this.mark = radio(byId("classes"), 0, (n) => {
      this.picked = n;
      this.explain();
    });
    for (const query of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(query).addEventListener("change", () => this.redraw());
    }
    addEventListener("resize", () => this.redraw());
    if (!text.value && described.examples.length) text.value = described.examples[0];
    this.read();
  }

  put(text) {
    byId("text").value = text;
    this.picked = null;
    this.read();
  }

  /** Reads when the keys that have been pressed are all in the field: they are read together. */
  soon() {
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      this.read();
    });
  }

  redraw() {
    if (this.reading && !byId("memory").hidden) this.memory.draw();
  }

  read() {
    const text = byId("text").value;
    const start = performance.now();
    const reading = this.model.read(text);
    const time = performance.now() - start;
    this.text = text;
    this.reading = reading;
    const empty = text.trim() === "";
    for (const id of ["verdict", "why", "memory"]) byId(id).hidden = empty;
    const marks = this.model.tokenizer.ends ? 2 : 1;
    const count = reading.tokens.length - marks;
    const took = time < 1 ? "under 1 ms" : `${time.toFixed(0)} ms`;
    byId("count").textContent = empty ? "" : `${count.toLocaleString("en")} ${count === 1 ? "token" : "tokens"}, read in ${took}`;
    if (empty) return;
    const { probabilities } = reading;
    this.winner = probabilities.indexOf(Math.max(...probabilities));
    byId("label").textContent = described.classes[this.winner];
    byId("probability").textContent = percent(probabilities[this.winner]);
    this.classes.forEach((button, n) => {
      button.querySelector("i").style.transform = `scaleX(${probabilities[n]})`;
      button.querySelector("em").textContent = percent(probabilities[n]);
    });
    if (this.classes.length > SORTED) {
      const ranked = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
      byId("classes").append(...ranked.map((n) => this.classes[n]));
    }
    this.memory.read(reading, reading.read.map((token) => this.name(token)));
    this.explain();
  }

  /** What a token is called: as it was typed. */
  name(token) {
    if (token === null) return "(padding)";
    if (token.id === START) return token.start === 0 ? "(start)" : "(end)";
    return this.text.slice(token.start, token.end).trim().replace(/\s+/g, " ") || "␣";
  }

  /** Colours the words for a class, and writes down the sum. */
  explain() {
    const of = this.picked ?? this.winner;
    this.mark(of);
    const { temperature } = this.model.config;
    const found = this.model.explain(this.reading, of);
    const scaled = (values) => values.map((value) => value / temperature);
    this.credits = { words: scaled(found.words), lstm: scaled(found.lstm), linear: scaled(found.linear) };
    byId("explained").textContent = described.classes[of];
    this.colour();
    const words = this.credits.words.reduce((a, b) => a + b, 0);
    this.writeSum(words, found.bias / temperature, found.value / temperature);
    this.point(-1);
  }

  writeSum(words, bias, value) {
    const binary = this.model.config.outputs === 1;
    const term = (sign, title, number) => element("div", {},
      element("small", {}, title), element("span", {}, sign), element("b", {}, signed(number, 3)));
    const total = binary ? "log-odds" : "score, above the mean of all classes";
    const read = this.model.config.padFront ? "words and padding" : "words";
    byId("sum").replaceChildren(
      term("", read, words), term("+", "biases", bias), term("=", total, words + bias));
    byId("checked").textContent = `The forward pass gives ${signed(value, 3)}`
      + (binary ? `, which is ${percent(sigmoid(value))}.` : ".");
  }

  /** Writes the text again, each word with the colour of what it adds. */
  colour() {
    const { reading, text, credits } = this;
    const most = Math.max(...credits.words.map(Math.abs), 1e-9);
    const stepOf = new Map(reading.read.map((token, step) => [token, step]));
    const shown = byId("words");
    shown.textContent = "";
    this.elements = Array(reading.count).fill(null);
    let done = 0;
    let skipped = 0;
    for (const token of reading.tokens) {
      const step = stepOf.get(token);
      if (step === undefined) {
        skipped++;
        continue;
      }
      if (skipped) {
        shown.append(element("span", { class: "skipped" }, ` ⋯ ${skipped.toLocaleString("en")} tokens are not read ⋯ `));
        done = token.start;
        skipped = 0;
      }
      const start = Math.max(done, token.start);
      if (start > done) shown.append(text.slice(done, start));
      done = Math.max(start, token.end);
      const mark = token.id === START;
      const written = mark ? this.name(token).slice(1, -1) : text.slice(start, done);
      const value = credits.words[step];
      const unknown = token.id === UNKNOWN;
      const label = `${this.name(token)}: ${signed(value)}${unknown ? ", not in the vocabulary" : ""}`;
      const kind = mark ? " mark" : unknown ? " unknown" : "";
      const made = element("span", { class: `word${kind}`, role: "img", "aria-label": label, tabindex: -1 }, written);
      made.style.setProperty("--tone", value < 0 ? "var(--against)" : "var(--for)");
      made.style.setProperty("--amount", (Math.abs(value) / most).toFixed(3));
      made.addEventListener("pointerenter", () => this.point(step));
      made.addEventListener("pointerleave", () => this.point(-1));
      made.addEventListener("focus", () => this.point(step));
      this.elements[step] = made;
      shown.append(made);
    }
    if (skipped) shown.append(element("span", { class: "skipped" }, ` ⋯ ${skipped.toLocaleString("en")} tokens are not read`));
    else shown.append(text.slice(done));
    const first = this.elements.find((each) => each !== null);
    if (first) first.tabIndex = 0;
  }

  /** Arrow keys go from word to word. */
  step(event) {
    const words = this.elements.filter((each) => each !== null);
    const now = words.indexOf(document.activeElement);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: words.length - 1 }[event.key];
    if (now < 0 || to === undefined || !words[to]) return;
    event.preventDefault();
    words[now].tabIndex = -1;
    words[to].tabIndex = 0;
    words[to].focus();
  }

  /** Marks the word of a step everywhere; -1 for none. */
  point(step) {
    this.elements.forEach((each, n) => each?.classList.toggle("on", n === step));
    if (this.memory.word !== step) this.memory.show({ word: step });
    const detail = byId("detail");
    detail.textContent = "";
    if (step < 0) {
      detail.append("Point at a word, or go through them with the arrow keys.");
      return;
    }
    const { words, lstm, linear } = this.credits;
    const parts = this.model.linear ? `: LSTM ${signed(lstm[step])}, linear model ${signed(linear[step])}` : "";
    detail.append(element("b", {}, this.name(this.reading.read[step])), ` adds ${signed(words[step])}${parts}`);
  }
}

opened.then((model) => new Page(model)).catch((error) => {
  byId("count").textContent = `The page could not be opened: ${error.message}`;
});
