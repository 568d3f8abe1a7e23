// Runs the engine of a page in Node: `node proof.js index.html < texts.json` prints probabilities.

const fs = require("node:fs");
const vm = require("node:vm");

const page = fs.readFileSync(process.argv[2], "utf8");
const part = (id) => page.match(new RegExp(`<script[^>]* id="${id}"[^>]*>([^]*?)</script>`))[1];

vm.runInThisContext(`${part("engine")}\nglobalThis.Model = Model;`);
const texts = JSON.parse(fs.readFileSync(0, "utf8"));
Model.open(JSON.parse(part("described")), part("tables")).then((model) => {
  console.log(JSON.stringify(texts.map((text) => [...model.read(text).probabilities])));
});
