// Splits files by a TextMate grammar as VS Code does: node tokenize.js NODE_MODULES GRAMMAR FILE… prints, for each file,
// its lines as lists of [text, scopes].

const fs = require("fs");
const path = require("path");
const [modules, grammar, ...files] = process.argv.slice(2);
const oniguruma = require(path.join(modules, "vscode-oniguruma"));
const textmate = require(path.join(modules, "vscode-textmate"));

async function main() {
  const wasm = fs.readFileSync(path.join(modules, "vscode-oniguruma", "release", "onig.wasm"));
  await oniguruma.loadWASM(new Uint8Array(wasm).buffer);
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => textmate.parseRawGrammar(fs.readFileSync(grammar, "utf8"), grammar),
  });
  const arch = await registry.loadGrammar("source.arch");
  const found = files.map((file) => {
    let stack = textmate.INITIAL;
    return fs.readFileSync(file, "utf8").split("\n").map((line) => {
      const { tokens, ruleStack } = arch.tokenizeLine(line, stack);
      stack = ruleStack;
      return tokens.map((token) => [line.slice(token.startIndex, token.endIndex), token.scopes]);
    });
  });
  process.stdout.write(JSON.stringify(found));
}

main();
