// Reads texts with many models in one process: a JSON file with {engine, cases} in, answers out.

const fs = require("node:fs");
const vm = require("node:vm");

const { engine, cases } = JSON.parse(fs.readFileSync(0, "utf8"));
vm.runInThisContext(`${engine}\nglobalThis.Model = Model; globalThis.survival = survival;`);

const answered = (model, text) => {
  const reading = model.read(text);
  const classes = [...model.classes.keys()];
  return {
    tokens: reading.tokens,
    steps: reading.read.map((token) => token?.id ?? 0),
    probabilities: [...reading.probabilities],
    explained: classes.map((of) => {
      const { words, bias, value } = model.explain(reading, of);
      return { words: [...words], bias, value };
    }),
    survival: reading.layers.at(-1).directions.map((each) => [
      ...survival(each, reading.count, model.size),
    ]),
  };
};

async function main() {
  const found = [];
  for (const { described, content, texts } of cases) {
    const model = await Model.open(described, content);
    found.push(texts.map((text) => answered(model, text)));
  }
  console.log(JSON.stringify(found));
}

main();
