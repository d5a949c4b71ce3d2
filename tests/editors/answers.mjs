// What the playground's wheel says of texts in Pyodide: node answers.mjs FOLDER TEXTS, of a file of JSON with
// texts by name, prints what is said of each at a look and of everything.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const folder = path.resolve(process.argv[2]);
const { loadPyodide } = await import(pathToFileURL(path.join(folder, "pyodide", "pyodide.mjs")));
const pyodide = await loadPyodide({ indexURL: path.join(folder, "pyodide") + path.sep });
for (const wheel of JSON.parse(fs.readFileSync(path.join(folder, "contents.json"))).wheels) {
  pyodide.unpackArchive(new Uint8Array(fs.readFileSync(path.join(folder, wheel))).buffer, "wheel");
}
const made = pyodide.runPython("from archdsl.playground import Playground\nPlayground");
const answers = {};
for (const [name, text] of Object.entries(JSON.parse(fs.readFileSync(process.argv[3], "utf8")))) {
  const playground = made();
  const found = JSON.parse(playground.look("mine", text, ""));
  let last;
  for (const step of playground.everything()) {
    last = step;
  }
  answers[name] = [found, JSON.parse(last)];
}
process.stdout.write(JSON.stringify(answers));
