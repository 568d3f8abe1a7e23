// The part of the page that shows gates, cell states and what survives.

const MAPS = [
  ["input", "Input", "gate"], ["forget", "Forget", "gate"], ["candidate", "Candidate", "both"],
  ["output", "Output", "gate"], ["survival", "Survival", "left"],
];

class Memory {
  /** @param onWord is told of the word that is pointed at, -1 for none. */
  constructor(model, onWord) {
    this.model = model;
    this.layer = model.layers.length - 1;
    this.direction = 0;
    this.unit = null; // until something is read: then the one whose cell state is largest
    this.word = -1;
    this.row = 0; // a place in the order; the slider's
    this.onWord = onWord;
    const { directions, layers } = model.config;
    this.maps = MAPS.map(([name, title]) => {
      const label = `${title} of every unit (rows) at every word (columns)`;
      const canvas = element("canvas", { role: "img", "aria-label": label });
      byId("maps").append(element("div", { class: "map" }, element("span", {}, title), canvas));
      this.listen(canvas, true);
      return { name, canvas };
    });
    [this.line, this.left] = ["line", "left"].map((id) => {
      const canvas = element("canvas", { role: "img" });
      byId(id).append(element("div", { class: "axis" }), canvas);
      this.listen(canvas, false);
      return canvas;
    });
    this.names = element("div", { class: "names", "aria-hidden": "true" });
    byId("left").after(element("div", { class: "axis-words" }, element("div"), this.names));
    choice(byId("layers"), layers > 1 ? this.model.layers.map((_, n) => `Layer ${n + 1}`) : [],
      this.layer, (layer) => this.show({ layer }));
    choice(byId("directions"), directions.length > 1 ? directions : [], 0,
      (direction) => this.show({ direction }));
    const slider = byId("slider");
    slider.max = model.size - 1;
    slider.addEventListener("input", () => this.show({ unit: this.order[Number(slider.value)] }));
  }

  listen(canvas, rows) {
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      const part = (place, from, size, count) =>
        Math.min(count - 1, Math.max(0, Math.floor(((place - from) / size) * count)));
      return {
        word: part(event.clientX, box.left, box.width, this.reading.count),
        row: part(event.clientY, box.top, box.height, this.model.size),
      };
    };
    canvas.addEventListener("pointermove", (event) => {
      const { word } = at(event);
      if (word !== this.word) this.onWord(word);
    });
    canvas.addEventListener("pointerleave", () => this.onWord(-1));
    if (rows) canvas.addEventListener("click", (event) => this.show({ unit: this.order[at(event).row] }));
  }

  /** Takes what was read; its layers, directions and units stay chosen. */
  read(reading, names) {
    this.reading = reading;
    this.labels = names;
    this.word = -1;
    this.prepare();
    this.draw();
  }

  show(chosen) {
    Object.assign(this, chosen);
    if (!("unit" in chosen) && !("word" in chosen)) this.prepare();
    this.draw();
  }

  prepare() {
    const { count } = this.reading;
    const { size } = this.model;
    const read = this.reading.layers[this.layer].directions[this.direction];
    this.survival = survival(read, count, size);
    this.share = survivingShare(read, this.survival, count, size);
    this.steps = { ...read.steps, survival: this.survival };
    const kept = new Float64Array(size);
    read.steps.forget.forEach((gate, n) => (kept[n % size] += gate));
    this.order = Array.from(kept.keys()).sort((a, b) => kept[b] - kept[a]);
    this.unit ??= read.steps.cell.reduce(
      (best, cell, n, cells) => (Math.abs(cell) > Math.abs(cells[best]) ? n : best), 0) % size;
  }

  draw() {
    const { unit, word, order } = this;
    const { count } = this.reading;
    const { size } = this.model;
    this.row = order.indexOf(unit);
    byId("slider").value = this.row;
    byId("slider").setAttribute("aria-valuetext", `unit ${unit + 1}`);
    byId("unit").textContent = byId("chosen").textContent = unit + 1;
    const [ground, most, least, green] = ["soft", "for", "against", "left"].map(colour);
    const tones = { gate: [ground, most], both: [ground, most, least], left: [ground, green] };
    this.maps.forEach(({ name, canvas }, n) => {
      const values = { values: this.steps[name], count, size, order };
      drawMap(canvas, values, tones[MAPS[n][2]], { word, row: this.row });
    });
    const cells = Array.from({ length: count }, (_, t) => this.steps.cell[t * size + unit]);
    const [high, low] = drawLine(this.line, cells, word);
    drawBars(this.left, this.share, word);
    this.line.setAttribute("aria-label", `Cell state from ${signed(cells[0])} to ${signed(cells.at(-1))}`);
    this.left.setAttribute("aria-label", `Surviving share, ${percent(this.share[0])} of the first word's`);
    axis(byId("line"), [signed(high), signed(low)]);
    axis(byId("left"), ["100%", "0%"]);
    this.name();
    this.say();
  }

  /** The words below the pictures, as many as there is room for. */
  name() {
    const room = this.names.clientWidth / this.reading.count;
    const step = Math.ceil(13 / room);
    this.names.textContent = "";
    this.labels.forEach((label, t) => {
      const near = this.word >= 0 && t !== this.word && Math.abs(t - this.word) * room < 13;
      if (t !== this.word && (t % step || near)) return;
      const name = element("span", { class: t === this.word ? "on" : null }, label.slice(0, 14));
      name.style.left = `${(t + 0.5) * room + 3}px`;
      this.names.append(name);
    });
  }

  /** The numbers of the unit at the word that is pointed at. */
  say() {
    const { unit, word, steps } = this;
    const line = byId("values");
    line.textContent = "";
    if (word < 0) return void line.append("Point at a word for its numbers.");
    const at = (name) => steps[name][word * this.model.size + unit];
    line.append(
      element("b", {}, this.labels[word]),
      ` in unit ${unit + 1}: input ${at("input").toFixed(2)}, forget ${at("forget").toFixed(2)},`
      + ` candidate ${signed(at("candidate"))}, output ${at("output").toFixed(2)},`
      + ` cell ${signed(at("cell"))}. Of what it wrote, ${percent(at("survival"))} survives;`
      + ` in all units together ${percent(this.share[word])}.`,
    );
  }
}

function axis(where, labels) {
  where.firstChild.textContent = "";
  where.firstChild.append(...labels.map((label) => element("span", {}, label)));
}

/** A group of buttons of which one is on; arrow keys go from one to the next. */
function choice(group, titles, chosen, onChoice) {
  const buttons = titles.map((title) => element("button", { type: "button", role: "radio" }, title));
  group.append(...buttons);
  radio(group, chosen, onChoice);
}

/** Makes buttons with the role "radio" a group; returns a function that turns one of them on. */
function radio(group, chosen, onChoice) {
  const buttons = [...group.children];
  const mark = (on) => buttons.forEach((button, n) => {
    button.setAttribute("aria-checked", n === on);
    button.tabIndex = n === on ? 0 : -1;
  });
  buttons.forEach((button, n) => {
    button.addEventListener("click", () => {
      mark(n);
      onChoice(n);
    });
    button.addEventListener("keydown", (event) => {
      const { key } = event;
      const next = ["ArrowRight", "ArrowDown"].includes(key) && (button.nextSibling ?? group.firstChild);
      const other = next || (["ArrowLeft", "ArrowUp"].includes(key) && (button.previousSibling ?? group.lastChild));
      if (!other) return;
      event.preventDefault();
      other.focus();
      other.click();
    });
  });
  mark(chosen);
  return mark;
}
