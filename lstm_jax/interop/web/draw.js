// Small helpers of the page: elements whose text is never markup, and pictures on a canvas.

const byId = (id) => document.getElementById(id);

/** A new element; `properties` are attributes, `content` is text or other elements. */
function element(tag, properties = {}, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...content.filter((each) => each !== null));
  return made;
}

/** A number with its sign, "+0.53" or "−0.12". */
const signed = (value, digits = 2) => {
  const shown = Math.abs(value).toFixed(digits);
  return Number(shown) === 0 ? shown : `${value < 0 ? "−" : "+"}${shown}`;
};

/** A share in percent; 100% and 0% only where it is exact. */
function percent(share) {
  const shown = (100 * share).toFixed(1);
  if (shown === "100.0" && share < 1) return ">99.9%";
  if (shown === "0.0" && share > 0) return "<0.1%";
  return `${shown}%`;
}

/** A colour of the style sheet as [red, green, blue]. */
function colour(name) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** A canvas as sharp as the screen: its context, width and height in CSS pixels. */
function prepared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return { context, width, height };
}

/**
 * Draws values [count, size] as a map: a column a word, a row a unit in the order given.
 *
 * @param tones [ground, most] for values from 0 to 1, [ground, most, least] for those from -1.
 * @param at {word, row} to mark, -1 for none.
 */
function drawMap(canvas, { values, count, size, order }, tones, at) {
  const { context, width, height } = prepared(canvas);
  const picture = new ImageData(count, size);
  const [ground, most, least] = tones;
  for (let row = 0; row < size; row++) {
    for (let t = 0; t < count; t++) {
      const value = values[t * size + order[row]];
      const tone = value < 0 ? least : most;
      const amount = Math.min(1, Math.abs(value));
      const into = (row * count + t) * 4;
      for (let n = 0; n < 3; n++) picture.data[into + n] = ground[n] + (tone[n] - ground[n]) * amount;
      picture.data[into + 3] = 255;
    }
  }
  const small = new OffscreenCanvas(count, size);
  small.getContext("2d").putImageData(picture, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, width, height);
  markUnit(context, height, ((at.row + 0.5) * height) / size);
  if (at.word >= 0) {
    context.strokeStyle = `rgb(${colour("ink").join()})`;
    context.strokeRect((at.word * width) / count + 0.5, 0.5, width / count - 1, height - 1);
  }
}

/** An arrow head at the left edge: the unit that is picked. */
function markUnit(context, height, middle) {
  const y = Math.min(height - 5, Math.max(5, middle));
  context.fillStyle = `rgb(${colour("ink").join()})`;
  context.strokeStyle = `rgb(${colour("ground").join()})`;
  context.beginPath();
  context.moveTo(0, y - 5);
  context.lineTo(8, y);
  context.lineTo(0, y + 5);
  context.closePath();
  context.fill();
  context.stroke();
}

/** Draws a value a word as a line; returns the largest and the smallest, or 0. */
function drawLine(canvas, values, word) {
  const { context, width, height } = prepared(canvas);
  const high = values.reduce((a, b) => Math.max(a, b), 0);
  const low = values.reduce((a, b) => Math.min(a, b), 0);
  const x = (t) => ((t + 0.5) * width) / values.length;
  const y = (value) => 5 + ((high - value) / (high - low || 1)) * (height - 10);
  context.strokeStyle = `rgb(${colour("rule").join()})`;
  context.beginPath();
  context.moveTo(0, y(0));
  context.lineTo(width, y(0));
  context.stroke();
  markWord(context, word, values.length, width, height);
  context.strokeStyle = `rgb(${colour("for").join()})`;
  context.fillStyle = context.strokeStyle;
  context.lineWidth = 1.75;
  context.lineJoin = "round";
  context.beginPath();
  values.forEach((value, t) => context.lineTo(x(t), y(value)));
  context.stroke();
  if (word >= 0) dot(context, x(word), y(values[word]));
  return [high, low];
}

/** Draws shares in [0, 1] as bars. */
function drawBars(canvas, values, word) {
  const { context, width, height } = prepared(canvas);
  const wide = width / values.length;
  markWord(context, word, values.length, width, height);
  values.forEach((value, t) => {
    context.fillStyle = `rgb(${colour("left").join()})`;
    const high = Math.max(1, value * (height - 1));
    const gap = Math.min(2, wide * 0.25);
    context.fillRect(t * wide + gap / 2, height - high, Math.max(0.5, wide - gap), high);
  });
}

function markWord(context, word, count, width, height) {
  if (word < 0) return;
  context.fillStyle = `rgb(${colour("soft").join()})`;
  context.fillRect((word * width) / count, 0, Math.max(2, width / count), height);
}

function dot(context, x, y) {
  context.beginPath();
  context.arc(x, y, 3.5, 0, 2 * Math.PI);
  context.fill();
}
