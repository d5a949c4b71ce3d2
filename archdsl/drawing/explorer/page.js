"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const state = { by: 0, scale: 1, x: 0, y: 0, sizes: {}, batch: 1 };
for (const size of data.sizes) state.sizes[size.name] = size.default;

function make(tag, classes, text, parent) {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function draw(tag, attributes, parent) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

function human(number) {
  for (const [scale, unit] of [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]])
    if (number >= scale) return Number((number / scale).toPrecision(3)) + unit;
  return String(Math.round(number));
}

// ------------------------------------------------------------------ formulas: sums, products, `a//b`, `ceil(a/b)`
const formulas = new Map();

function formula(text) {
  if (!formulas.has(text)) formulas.set(text, parsed(text.match(/\d+(?:\.\d+)?|[A-Za-z_]\w*|\/\/|[-+*/()]/g) || []));
  return formulas.get(text);
}

function parsed(words) {
  let at = 0;
  const sum = () => {
    let left = product();
    while (words[at] === "+" || words[at] === "-") {
      const sign = words[at++] === "+" ? 1 : -1, before = left, right = product();
      left = sizes => before(sizes) + sign * right(sizes);
    }
    return left;
  };
  const product = () => {
    let left = atom();
    while (["*", "/", "//"].includes(words[at])) {
      const sign = words[at++], before = left, right = atom();
      left = sign === "*" ? sizes => before(sizes) * right(sizes)
        : sign === "/" ? sizes => before(sizes) / right(sizes)
        : sizes => Math.floor(before(sizes) / right(sizes));
    }
    return left;
  };
  const atom = () => {
    const word = words[at++];
    if (word === "(") { const inner = sum(); at++; return inner; }
    if (word === "-") { const inner = atom(); return sizes => -inner(sizes); }
    if (word === "ceil") { at++; const inner = sum(); at++; return sizes => Math.ceil(inner(sizes) - 1e-9); }
    if (/^\d/.test(word)) { const number = Number(word); return () => number; }
    return sizes => word === "N" ? state.batch : sizes[word];
  };
  return sum();
}

const evaluated = text => formula(text)(state.sizes);
const shape = dims => dims.map(evaluated).join("×");

// ------------------------------------------------------------------ boxes, which fold
const boxes = [];  // every box that has been looked at: its data, its parent, its element once it is shown
const byPath = new Map();

function known(graph, parent) {
  for (const box of graph.boxes) {
    Object.assign(box, { parent, number: boxes.length });
    boxes.push(box);
    for (const path of box.paths) byPath.set(path, box);  // the deepest that has it comes last
    if (box.inside) known(box.inside, box);
  }
}

let most = [1, 1, 1];

function boxElement(box) {
  const element = box.element = make("div", `box ${box.kind}`);
  element.dataset.box = box.number;
  if (box.kind === "point") return element;
  const title = make("div", "title", undefined, element);
  make(box.inside ? "b" : "span", "", box.text || (box.inside ? "again" : ""), title);
  if (box.more) make("span", "more", box.more, title);
  if (box.count > 1) make("b", "times", `×${box.count}`, title);
  box.figure = make("span", "figure", "", title);
  element.title = box.paths.slice(0, 4).join("\n");
  element.classList.toggle("many", box.count > 1);
  element.addEventListener("click", event => {
    event.stopPropagation();
    if (box.inside && title.contains(event.target)) toggle(box);
    choose(box.paths, "view");
  });
  if (box.inside) element.classList.add("folds");
  if (box.inside && box.open) unfold(box);
  paint(box);
  return element;
}

function graphElement(graph) {
  const element = graph.element = make("div", "graph");
  draw("svg", {}, element);
  for (const row of graph.rows) {
    const line = make("div", "row", undefined, element);
    for (const stack of row) {
      const column = make("div", "stack", undefined, line);
      for (const at of stack) column.append(boxElement(graph.boxes[at]));
    }
  }
  return element;
}

function unfold(box) {
  box.open = true;
  box.element.classList.add("open");
  box.element.querySelector(":scope > .inside")?.remove();
  make("div", "inside", undefined, box.element).append(graphElement(box.inside));
}

function toggle(box, open = !box.element.classList.contains("open")) {
  if (open) unfold(box);
  else {
    box.open = false;
    box.element.classList.remove("open");
    box.element.querySelector(":scope > .inside")?.remove();
    for (const inner of boxes) if (inside(inner, box)) inner.element = undefined;
  }
  wired();
  mark();
}

function inside(box, outer) {
  for (let at = box.parent; at; at = at.parent) if (at === outer) return true;
  return false;
}

function paint(box) {
  if (!box.element || !box.figure) return;
  const figure = box.figures[state.by];
  box.figure.textContent = figure && box.kind !== "end" ? human(figure) : "";
  const share = Math.round(90 * Math.sqrt(Math.min(figure / most[state.by], 1)));
  if (box.kind !== "end" && box.kind !== "join")
    box.element.style.background = `color-mix(in srgb, var(--heat) ${share}%, var(--box))`;
}

// ------------------------------------------------------------------ wires, from where the boxes have come to stand
function wired() {
  for (const element of document.querySelectorAll(".graph")) element.firstChild.replaceChildren();
  const enter = graph => {
    if (!graph.element?.isConnected) return;
    wire(graph);
    for (const box of graph.boxes) if (box.inside && box.element?.classList.contains("open")) enter(box.inside);
  };
  const lanes = graph => {
    const place = new Map();
    graph.rows.forEach((row, at) => row.forEach(stack => stack.forEach((box, step) => place.set(box, [at, stack, step]))));
    graph.ways = graph.wires.map(([source, target]) => {
      const [row, stack, step] = place.get(source), [other, same, next] = place.get(target);
      return stack === same && next === step + 1 ? "down"
        : other === row + 1 && step === stack.length - 1 && next === 0 ? "over" : "lane";
    });
    const count = graph.ways.filter(way => way === "lane").length;
    if (graph.element) graph.element.style.padding = count ? `0 ${14 * count + 6}px` : "";
    for (const box of graph.boxes) if (box.inside) lanes(box.inside);
  };
  lanes(data.graph);
  enter(data.graph);
}

function wire(graph) {
  const svg = graph.element.firstChild, home = graph.element.getBoundingClientRect();
  const rect = at => {
    const r = graph.boxes[at].element.getBoundingClientRect();
    return { left: (r.left - home.left) / state.scale, right: (r.right - home.left) / state.scale,
      top: (r.top - home.top) / state.scale, bottom: (r.bottom - home.top) / state.scale,
      x: (r.left + r.right - 2 * home.left) / 2 / state.scale, y: (r.top + r.bottom - 2 * home.top) / 2 / state.scale };
  };
  const tops = graph.rows.map(row => Math.min(...row.map(stack => rect(stack[0]).top)));
  const right = Math.max(...graph.boxes.map((_, at) => rect(at).right));
  let lane = 0;
  graph.wires.forEach(([source, target, dims], number) => {
    const from = rect(source), to = rect(target), way = graph.ways[number];
    const tip = graph.boxes[target].kind !== "point";
    if (way === "lane") {
      const x = right + 14 * ++lane, y = graph.boxes[source].kind === "point" ? from.bottom : from.y;
      line(svg, `M${from.right} ${y}H${x}V${to.y}H${to.right}`, tip && [to.right, to.y, 1]);
    } else {
      const middle = (way === "over" ? tops[graph.rows.findIndex(row => row.some(stack => stack[0] === target))] : to.top) - 12;
      line(svg, `M${from.x} ${from.bottom}${Math.abs(from.x - to.x) < 1 ? "" : `V${middle}H${to.x}`}V${to.top}`,
        tip && [to.x, to.top, 0]);
    }
    if (dims.length) {
      const label = draw("text", { class: "label", x: from.x + 5, y: from.bottom + 12 }, svg);
      label.textContent = shape(dims);
      label.dims = dims;
    }
  });
}

function line(svg, d, tip) {
  draw("path", { class: "wire", d }, svg);
  if (!tip) return;
  const [x, y, side] = tip;
  draw("path", { class: "tip", d: side ? `M${x} ${y}l6 -3v6z` : `M${x} ${y}l-3 -6h6z` }, svg);
}

// ------------------------------------------------------------------ what is chosen, in all views
let chosen = [];

function choose(paths, from) {
  chosen = paths;
  if (from !== "view") reveal(boxOf(paths[0]));
  mark(from);
}

function boxOf(path) {
  for (let at = path; at; at = at.slice(0, Math.max(0, at.lastIndexOf(".")))) if (byPath.has(at)) return byPath.get(at);
  return boxes.find(box => box.paths.some(inner => inner.startsWith(`${path}.`)));
}

function reveal(box) {
  if (!box) return;
  const outer = [];
  for (let at = box.parent; at; at = at.parent) outer.unshift(at);
  for (const each of outer) if (!each.element.classList.contains("open")) unfold(each);
  wired();
  centre(box.element);
}

function mark(from) {
  const paths = new Set(chosen);
  const owner = chosen.length ? boxOf(chosen[0]) : undefined;
  const box = chosen.length && boxes.find(each => each.element && each.paths.length === chosen.length
    && each.paths.every(path => paths.has(path))) || owner;
  for (const each of boxes) each.element?.classList.toggle("chosen", each === box);
  const places = new Set();
  let first;
  for (const row of data.rows) {
    const is = paths.has(row.path) || (from === "row" && row.path === chosen[0]);
    row.element.classList.toggle("chosen", is);
    if (is) { places.add(row.place.join(":")); first = first || row.element; }
    row.bar?.classList.toggle("chosen", is);
  }
  for (const each of document.querySelectorAll(".line")) each.classList.toggle("chosen", places.has(each.dataset.place));
  if (from !== "row" && from !== "text") first?.scrollIntoView({ block: "nearest" });
  if (from && from !== "text") document.querySelector(".line.chosen")?.scrollIntoView({ block: "nearest" });
}

// ------------------------------------------------------------------ the table, the text, the course
function steps() {
  const body = document.querySelector("#steps tbody");
  for (const row of data.rows) {
    const line = row.element = make("tr", "", undefined, body);
    line.dataset.path = row.path;
    const times = row.count > 1 ? ` ×${row.count}` : "";
    const cells = [`${"\u2003".repeat(row.depth)}${row.name || "·"}${times}`, row.what, shape(row.shape),
      row.params ? row.params.toLocaleString("en") : "", row.macs ? row.macs.toLocaleString("en") : "", row.field.join("×")];
    for (const cell of cells) make("td", "", cell, line);
    line.addEventListener("click", () => choose([row.path], "row"));
  }
}

function text() {
  data.sources.forEach((source, number) => {
    make("h2", "", source.name, $("text"));
    source.text.split("\n").forEach((words, at) => {
      const place = `${number}:${at + 1}`, line = make("div", "line", undefined, $("text"));
      line.dataset.place = place;
      make("i", "", at + 1, line);
      line.append(words);
      line.addEventListener("click", () => {
        const paths = data.rows.filter(row => row.place.join(":") === place).map(row => row.path);
        if (paths.length) choose(paths, "text");
      });
    });
  });
}

function course() {
  const leaves = data.rows.filter((row, at) => !(data.rows[at + 1]?.depth > row.depth));
  chart("memory while each step runs, float32, one image", leaves, row => row.live, "B", row => row.bar = undefined);
  chart("receptive field of each step, rows", leaves, row => row.field[0] || 0, "", () => undefined);
}

function chart(title, rows, value, unit) {
  const top = Math.max(1, ...rows.map(value));
  make("h2", "", `${title}: at most ${unit ? human(top) + unit : top}`, $("course"));
  const svg = draw("svg", { viewBox: `0 0 ${rows.length} 100`, preserveAspectRatio: "none" }, $("course"));
  rows.forEach((row, at) => {
    const height = 100 * value(row) / top;
    const bar = draw("rect", { class: "bar", x: at + 0.1, width: 0.8, y: 100 - height, height }, svg);
    draw("title", {}, bar).textContent = `${row.path} ${row.what}: ${unit ? human(value(row)) + unit : value(row)}`;
    bar.addEventListener("click", () => choose([row.path], "course"));
    row.bar = bar;
  });
}

function picture() {
  const root = $("picture").attachShadow({ mode: "open" });  // which keeps the style of the picture to itself
  root.innerHTML = data.picture;
  root.firstChild?.setAttribute("style", "max-width: 100%; height: auto");
  root.addEventListener("click", event => {
    const path = event.target.closest("g:has(> title)")?.querySelector("title").textContent.split(" ")[0];
    if (path) choose([path], "picture");
  });
}

// ------------------------------------------------------------------ sizes and parameters
function sizes() {
  const home = $("sizes");
  make("h2", "", "sizes of the input", home);
  for (const size of data.sizes) slider(home, size.name, size.default, 1, 4 * size.default, 1, number => {
    state.sizes[size.name] = number;
    told();
  });
  slider(home, "N", 1, 1, 256, 1, number => { state.batch = number; told(); });
  make("p", "", data.fixed ? "The net is built for sizes that its text fixes or needs equal." : "", home);
  make("p", "illegal", "", home).id = "illegal";
  make("dl", "", undefined, home).id = "costs";
  for (const param of data.params) {
    make("h2", "", `parameter ${param.name}, for one image of the default size`, home);
    const list = make("dl");
    const tell = number => {
      list.replaceChildren();
      for (const [figure, form] of Object.entries(param.forms)) {
        const found = form.reduce((sum, [factor, power]) => sum + factor * number ** power, 0);
        entry(list, { macs: "MACs", params: "parameters", bytes: "bytes" }[figure], found);
      }
    };
    tell(param.default);
    slider(home, param.name, param.default, param.step, 4 * param.default, param.step, tell);
    home.append(list);
  }
  told();
}

function slider(home, name, value, low, high, step, tell) {
  const row = make("div", "size", undefined, home);
  make("label", "", name, row);
  const [range, number] = ["range", "number"].map(type => {
    const input = make("input", "", undefined, row);
    Object.assign(input, { type, min: low, max: high, step, value, name });
    return input;
  });
  number.removeAttribute("max");
  for (const [one, other] of [[range, number], [number, range]]) one.addEventListener("input", () => {
    other.value = one.value;
    if (Number(one.value) > 0) tell(Number(one.value));
  });
}

function entry(list, name, number) {
  make("dt", "", name, list);
  make("dd", "", human(number), list);
  make("dd", "", Math.round(number).toLocaleString("en"), list);
}

function legal(size, number) {
  if (number >= size.start) return size.residues.includes(number % size.period);
  return size.ranges.some(([low, high]) => low <= number && number <= high);
}

function told() {
  const wrong = data.sizes.filter(size => !legal(size, state.sizes[size.name]));
  $("illegal").textContent = wrong.length ? `not a legal size: ${wrong.map(size => size.rule).join("; ")}` : "";
  const list = $("costs");
  list.replaceChildren();
  entry(list, "parameters", evaluated(data.costs.params));
  entry(list, "MACs", evaluated(data.costs.macs) * state.batch);
  entry(list, "bytes moved", evaluated(data.costs.bytes) * state.batch + evaluated(data.costs.once));
  for (const row of data.rows) row.element.children[2].textContent = shape(row.shape);
  for (const label of document.querySelectorAll(".label")) label.textContent = shape(label.dims);
}

// ------------------------------------------------------------------ search, zoom, tabs
const READABLE = 0.6;  // of the size that letters have
let hits = [], hit = -1;

function search(words) {
  words = words.trim().toLowerCase();
  const has = row => `${row.path} ${row.what}`.toLowerCase().includes(words);
  hits = words ? data.rows.filter(has) : [];
  hit = -1;
  const paths = new Set(hits.map(row => row.path));
  for (const row of data.rows) row.element.classList.toggle("hit", paths.has(row.path));
  for (const box of boxes) box.element?.classList.toggle("hit", box.paths.some(path => paths.has(path)));
  $("hits").textContent = words ? `${hits.length}` : "";
}

function placed() {
  $("canvas").style.transform = `translate(${state.x}px,${state.y}px) scale(${state.scale})`;
}

function zoom(factor, x, y) {
  const scale = Math.min(4, Math.max(0.05, state.scale * factor));
  state.x = x - (x - state.x) * scale / state.scale;
  state.y = y - (y - state.y) * scale / state.scale;
  state.scale = scale;
  placed();
}

function fit(least = 0.05) {
  const view = $("view"), canvas = $("canvas");
  state.scale = Math.max(least, Math.min(1, view.clientWidth / canvas.offsetWidth, view.clientHeight / canvas.offsetHeight));
  state.x = (view.clientWidth - canvas.offsetWidth * state.scale) / 2;
  state.y = 0;
  placed();
}

function centre(element) {
  if (state.scale < READABLE) zoom(1 / state.scale, 0, 0);
  const view = $("view").getBoundingClientRect(), box = element.getBoundingClientRect();
  const away = box.left < view.left || box.right > view.right || box.top < view.top || box.bottom > view.bottom;
  if (!away) return;
  state.x += (view.left + view.right) / 2 - (box.left + box.right) / 2;
  state.y += view.top + view.height / 3 - box.top;
  placed();
}

function show(tab) {
  for (const button of document.querySelectorAll("nav button")) {
    const is = button.dataset.tab === tab;
    button.setAttribute("aria-selected", is);
    $(button.dataset.tab).classList.toggle("shown", is);
  }
}

function all(open) {
  for (const box of boxes) if (box.inside && box.element && box.element.classList.contains("open") !== open) {
    if (open) unfold(box); else if (!box.parent) toggle(box, false);
  }
  wired();
  fit();
}

function listen() {
  const view = $("view");
  view.addEventListener("wheel", event => {
    event.preventDefault();
    const home = view.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - home.left, event.clientY - home.top);
  }, { passive: false });
  view.addEventListener("pointerdown", event => {
    if (event.target.closest(".box")) return;
    view.setPointerCapture(event.pointerId);
    view.classList.add("held");
  });
  view.addEventListener("pointermove", event => {
    if (!view.classList.contains("held")) return;
    state.x += event.movementX;
    state.y += event.movementY;
    placed();
  });
  view.addEventListener("pointerup", () => view.classList.remove("held"));
  const middle = factor => () => zoom(factor, view.clientWidth / 2, view.clientHeight / 2);
  $("in").addEventListener("click", middle(1.25));
  $("out").addEventListener("click", middle(0.8));
  $("fit").addEventListener("click", () => fit());
  $("unfold").addEventListener("click", () => all(true));
  $("fold").addEventListener("click", () => all(false));
  $("by").addEventListener("change", event => { state.by = Number(event.target.value); boxes.forEach(paint); });
  $("search").addEventListener("input", event => search(event.target.value));
  $("search").addEventListener("keydown", event => {
    if (event.key !== "Enter" || !hits.length) return;
    hit = (hit + (event.shiftKey ? hits.length - 1 : 1)) % hits.length;
    choose([hits[hit].path], "search");
    $("hits").textContent = `${hit + 1} of ${hits.length}`;
  });
  for (const button of document.querySelectorAll("nav button"))
    button.addEventListener("click", () => show(button.dataset.tab));
}

// ------------------------------------------------------------------ following a file
function follow() {
  const kept = JSON.parse(sessionStorage.getItem("kept") || "null");
  if (kept) {
    for (const box of boxes) if (box.inside && kept.open.includes(box.paths[0]) && box.element) unfold(box);
    show(kept.tab);
    wired();
    Object.assign(state, kept.view);
    placed();
  }
  setInterval(async () => {
    const stamp = await fetch("stamp").then(answer => answer.text(), () => data.stamp);
    if (stamp === data.stamp) return;
    const open = boxes.filter(box => box.element?.classList.contains("open")).map(box => box.paths[0]);
    const { scale, x, y } = state;
    const tab = document.querySelector("nav button[aria-selected=true]").dataset.tab;
    sessionStorage.setItem("kept", JSON.stringify({ open, tab, view: { scale, x, y } }));
    location.reload();
  }, 300);
}

known(data.graph);
most = [0, 1, 2].map(by => Math.max(1, ...data.graph.boxes.map(box => box.inside ? 0 : box.figures[by]),
  ...data.graph.boxes.flatMap(box => box.inside ? box.inside.boxes.map(inner => inner.figures[by]) : [])));
$("name").textContent = data.name;
$("facts").textContent = data.facts;
$("mistakes").textContent = data.mistakes;
$("mistakes").hidden = !data.mistakes;
$("canvas").append(graphElement(data.graph));
steps();
text();
course();
sizes();
picture();
show("steps");
listen();
wired();
fit(READABLE);
if (data.live) follow();
