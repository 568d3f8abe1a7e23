// How long the page of `lstm_jax export --format web` takes for a text: medians over many texts.
//
//     node benchmarks/web.js exported/index.html [words of a text, 250]

const fs = require("node:fs");
const vm = require("node:vm");

const [, , file, words = "250"] = process.argv;
const page = fs.readFileSync(file, "utf8");
const part = (id) => page.match(new RegExp(`<script[^>]* id="${id}"[^>]*>([^]*?)</script>`))[1];
vm.runInThisContext(`${part("engine")}\nglobalThis.Model = Model;`);

/** Texts of the page's own words, frequent ones often, the same at every call. */
function texts(model, count) {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const known = model.tokenizer.words.slice(3);
  const word = () => known[Math.floor(known.length ** random()) - 1];
  return Array.from({ length: count }, () => Array.from({ length: Number(words) }, word).join(" "));
}

const median = (times) => times.sort((a, b) => a - b)[times.length >> 1].toFixed(1);

function timed(times, work) {
  const start = performance.now();
  const result = work();
  times.push(performance.now() - start);
  return result;
}

Model.open(JSON.parse(part("described")), part("tables")).then((model) => {
  const [anew, typed, ledger] = [[], [], []];
  texts(model, 80).forEach((text, n) => {
    if (n === 20) for (const times of [anew, typed, ledger]) times.length = 0; // compiled by now
    model.layers.flat().forEach((direction) => direction.projections.clear());
    timed(anew, () => model.read(text));
    const reading = timed(typed, () => model.read(`${text}s`));
    timed(ledger, () => model.explain(reading, 1));
  });
  console.log(`${words} words anew ${median(anew)} ms, a letter more ${median(typed)} ms,`
    + ` ledger ${median(ledger)} ms`);
});
