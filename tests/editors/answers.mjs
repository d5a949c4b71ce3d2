// What the playground's wheel says in Pyodide: node answers.mjs FOLDER ASKED, of a file of JSON with a list of [name, text,
// net], prints of each what is said at a look, of everything, and the views of its network.

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
const answers = JSON.parse(fs.readFileSync(process.argv[3], "utf8")).map(([name, text, net]) => {
  const playground = made();
  const found = [playground.look(name, text, net)];
  if (!net) {
    found.push(...playground.everything());
  }
  return [...found, playground.drawing("macs", "light"), playground.costs("layer", "adam"), playground.python()];
});
process.stdout.write(JSON.stringify(answers));
