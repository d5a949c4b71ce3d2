// Splits files as the editor of the playground does: node split.mjs NODE_MODULES TEXTMATE GRAMMAR FILE… prints, for each
// file, its lines as lists of [text, style].

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [modules, textmate, grammar, ...files] = process.argv.slice(2);
const { StringStream } = await import(pathToFileURL(path.join(modules, "@codemirror/language/dist/index.js")));
const { tokenizer } = await import(pathToFileURL(textmate));

const found = files.map((file) => {
  const parser = tokenizer(JSON.parse(fs.readFileSync(grammar, "utf8")));
  const state = parser.startState();
  return fs.readFileSync(file, "utf8").split("\n").map((line) => {
    const stream = new StringStream(line, 4, 4);
    const parts = [];
    while (!stream.eol()) {
      stream.start = stream.pos;
      const style = parser.token(stream, state);
      parts.push([stream.current(), style]);
    }
    return parts;
  });
});
process.stdout.write(JSON.stringify(found));
