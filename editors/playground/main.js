// The page: a text, what the compiler says of it, and the gallery to start from.

import { Compiler } from "./compiler.js";
import { editor, marked, setText, showMistakes, showShapes } from "./editor.js";
import { read, written } from "./link.js";
import { views } from "./views.js";

const REST = 200; // ms without a change after which all nets are checked, and what stands beside the text is made anew
const OWN = `net mine(classes=10):
    input image: [N, 3, H=32, W=32]
    conv(16, 3) -> bn -> relu
    global_avgpool -> flatten -> linear(classes)
`;

const element = (id) => document.getElementById(id);
const chosen = (id) => element(id).value;
const dark = matchMedia("(prefers-color-scheme: dark)");

const state = { name: "mine", net: "", round: 0, looked: null, shown: "", asked: {}, answers: {}, view: "drawing" };
const { nets, texts, words } = await (await fetch("contents.json")).json();
const compiler = new Compiler();
const view = editor(element("editor"), words, changed);
const all = views(element, chosen);

// ------------------------------------------------------------------------------------------------ the text
const text = () => view.state.doc.toString();

/** Takes a text with its name and, where one is wanted, its net. */
function open(name, net, given) {
  Object.assign(state, { name, net });
  setText(view, given);
  showShapes(view, []);
  showProblems([]);
  element("summary").textContent = "";
  view.dispatch({ selection: { anchor: 0 }, scrollIntoView: true });
  if (!given) {
    changed(); // an empty text after another is no change
  }
}

function openNet(net) {
  const { file } = nets.find(({ name }) => name === net);
  if (text() === texts[file]) {
    Object.assign(state, { name: file, net });
    changed();
  } else {
    open(file, net, texts[file]);
  }
}

/** Follows a change: first the net that is looked at, and when the keys have rested everything else. */
async function changed() {
  const mine = ++state.round;
  const latest = () => mine === state.round;
  try {
    const found = await compiler.ask("look", state.name, text(), state.net);
    if (!found || !latest()) {
      return;
    }
    showLook(found);
    await new Promise((resolve) => setTimeout(resolve, REST));
    if (latest()) {
      remember();
      await Promise.all([showView(), showEverything(latest)]);
    }
  } catch (problem) {
    failed(problem);
  }
}

function showLook(found) {
  state.looked = found;
  state.net = found.net || state.net;
  const shown = `${state.name} ${state.net}`;
  const another = state.shown !== shown;
  if (found.nets.length || another) {
    element("net").replaceChildren(...found.nets.map((name) => new Option(name, name, false, name === found.net)));
    element("net").disabled = found.nets.length < 2;
  }
  if (found.shapes || another) {
    Object.assign(state, { shown, asked: {}, answers: {} });
  }
  element("gallery").value = text() === texts[state.name] ? found.net : "";
  element("took").textContent = `checked in ${Math.round(found.took)} ms`;
  element("state").textContent = "";
  document.title = found.net ? `${found.net} – archdsl` : "archdsl";
  if (found.shapes) {
    showShapes(view, found.shapes);
    element("summary").textContent = found.summary;
  }
  document.querySelectorAll(".view").forEach((each) => each.classList.toggle("stale", !found.shapes));
  showProblems([...found.mistakes, ...carried(found.mistakes)]);
}

/** What was found in the whole text before, without edits, which are of that text. */
function carried(found) {
  const known = (one) => found.some(({ code, from }) => code === one.code && from === one.from);
  return marked(view).filter((one) => one.whole && !known(one)).map((one) => ({ ...one, edits: [] }));
}

async function showEverything(latest) {
  const found = await compiler.ask("everything");
  if (found && latest()) {
    const own = (one) => state.looked.mistakes.some(({ code, from }) => code === one.code && from === one.from);
    showProblems(found.map((one) => ({ ...one, whole: !own(one) && state.looked.nets.length > 0 })));
  }
}

// ------------------------------------------------------------------------------------------------ mistakes
function showProblems(found) {
  const round = state.round;
  const apply = (edit) => round === state.round && applyEdit(edit);
  showMistakes(view, found, apply);
  element("problems").replaceChildren(...found.map((one) => problem(one, apply)));
}

function problem(one, apply) {
  const box = document.createElement("div");
  box.className = `problem ${one.level}`;
  const [first, ...others] = one.text.split("\n");
  const drawn = document.createElement("pre");
  const title = document.createElement("b");
  title.textContent = first;
  drawn.append(title, ["", ...others].join("\n"));
  box.append(drawn, ...one.edits.map((edit) => button(edit.text, () => apply(edit))));
  box.addEventListener("click", () => {
    view.dispatch({ selection: { anchor: Math.min(one.from, view.state.doc.length) }, scrollIntoView: true });
    view.focus();
  });
  return box;
}

function button(name, act) {
  const made = document.createElement("button");
  made.textContent = name;
  made.addEventListener("click", (event) => {
    event.stopPropagation();
    act();
  });
  return made;
}

function applyEdit({ from, to, insert }) {
  view.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length }, scrollIntoView: true });
  view.focus();
}

function failed(problem) {
  element("state").textContent = `The compiler has failed; the next change starts it again. ${problem.message.trim().split("\n").at(-1)}`;
}

// ------------------------------------------------------------------------------------------------ beside the text
/** Shows the view that is chosen, of the last network that there was; what is asked already is waited for. */
async function showView() {
  return state.looked ? (state.asked[state.view] ??= answered(state.view, state.asked)) : undefined;
}

async function answered(shown, asked) {
  const answer = await compiler.ask(...all[shown].question());
  if (answer !== null && asked === state.asked) {
    state.answers[shown] = answer;
    all[shown].show(answer);
  }
  return answer;
}

function choose(name) {
  state.view = name;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.view === name));
    element(tab.dataset.view).hidden = tab.dataset.view !== name;
  }
  document.querySelectorAll(".tools").forEach((each) => (each.hidden = each.dataset.for !== name));
  showView().catch(failed);
}

function renew(name) {
  delete state.asked[name];
  delete state.answers[name];
  showView().catch(failed);
}

async function save() {
  let answer = null;
  while (answer === null) {
    answer = await showView(); // null where the text has changed meanwhile, and another is asked for
  }
  if (!answer) {
    return;
  }
  const [content, name, type] = all[state.view].saved(answer, state.net);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function colour() {
  const wanted = chosen("theme");
  document.documentElement.dataset.theme = wanted === "auto" ? (dark.matches ? "dark" : "light") : wanted;
  renew("drawing");
}

// ------------------------------------------------------------------------------------------------ the address
/** Puts the text into the address, so that the page can be reloaded, kept and sent. */
async function remember() {
  const unchanged = text() === texts[state.name];
  const fragment = await written({ name: state.name, net: state.net, text: unchanged ? undefined : text() });
  history.replaceState(null, "", fragment);
  return location.href;
}

async function follow() {
  const found = await read(location.hash).catch(() => null);
  if (location.hash.length > 1 && !found) {
    element("state").textContent = "This address holds no text that can be read: it may have been cut off.";
  }
  if (found?.text !== undefined) {
    open(found.name, found.net, found.text);
  } else {
    openNet(nets.some(({ name }) => name === found?.net) ? found.net : "resnet50");
  }
}

async function share() {
  await navigator.clipboard.writeText(await remember());
  element("share").textContent = "copied";
  setTimeout(() => (element("share").textContent = "copy link"), 1500);
}

// ------------------------------------------------------------------------------------------------ all together
function fill() {
  const groups = Map.groupBy(nets, ({ file }) => file);
  for (const [file, inside] of groups) {
    const group = document.createElement("optgroup");
    group.label = file;
    group.append(...inside.map(({ name, title }) => Object.assign(new Option(name), { title })));
    element("gallery").append(group);
  }
}

const listen = (id, event, act) => element(id).addEventListener(event, act);
listen("gallery", "change", () => (chosen("gallery") ? openNet(chosen("gallery")) : open("mine", "", OWN)));
listen("net", "change", () => {
  state.net = chosen("net");
  changed();
});
listen("format", "click", async () => {
  const before = text();
  const after = await compiler.ask("formatted").catch(failed);
  if (after && after !== before && before === text()) {
    setText(view, after);
  }
});
listen("share", "click", share);
listen("theme", "change", colour);
listen("by", "change", () => renew("drawing"));
listen("rows", "change", () => renew("costs"));
listen("smaller", "click", () => all.zoom(1 / 1.25));
listen("larger", "click", () => all.zoom(1.25));
listen("fit", "click", () => all.zoom(0));
listen("copy", "click", () => navigator.clipboard.writeText(state.answers.python ?? ""));
listen("save", "click", () => save().catch(failed));
document.querySelectorAll("[role=tab]").forEach((tab) => tab.addEventListener("click", () => choose(tab.dataset.view)));
dark.addEventListener("change", colour);
addEventListener("hashchange", follow);

fill();
colour();
element("state").textContent = "The compiler is starting …";
await follow();
