// Python in the browser: Pyodide with the wheels of this folder, and in it the compiler. Answers questions in turn.

import { loadPyodide } from "./pyodide/pyodide.mjs";

const starting = start();
let latest = 0; // the number of the last look: what goes on in steps ends when there is another

async function start() {
  const { wheels } = await (await fetch("contents.json")).json();
  const archives = Promise.all(wheels.map(async (name) => (await fetch(name)).arrayBuffer()));
  const pyodide = await loadPyodide({ indexURL: new URL("pyodide/", self.location).href });
  for (const archive of await archives) {
    pyodide.unpackArchive(archive, "wheel");
  }
  return pyodide.runPython("from archdsl.playground import Playground\nPlayground()");
}

const ANSWERS = {
  look: (compiler, name, text, net) => JSON.parse(compiler.look(name, text, net)),
  formatted: (compiler) => compiler.formatted(),
  drawing: (compiler, by, theme) => compiler.drawing(by, theme),
  costs: (compiler, by) => JSON.parse(compiler.costs(by, "adam")) ?? "",
  python: (compiler) => compiler.python(),
  everything,
};

async function everything(compiler) {
  const mine = latest;
  for (const step of compiler.everything()) {
    if (step) {
      return JSON.parse(step);
    }
    await new Promise((resolve) => setTimeout(resolve));
    if (mine !== latest) {
      return null;
    }
  }
  return null;
}

self.onmessage = async ({ data: { number, kind, given } }) => {
  try {
    const compiler = await starting;
    latest = kind === "look" ? number : latest;
    const began = performance.now();
    const answer = await ANSWERS[kind](compiler, ...given);
    self.postMessage({ number, answer: kind === "look" ? { ...answer, took: performance.now() - began } : answer });
  } catch (problem) {
    const fatal = problem.name !== "PythonError"; // of those Python itself goes on
    self.postMessage({ number, failure: String(problem.message ?? problem), fatal });
  }
};
