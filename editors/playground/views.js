// What is seen of a net beside its text: the drawing, the table of costs, the Python.

import { reader, setText } from "./editor.js";

/** Each view: what it asks the compiler, how it shows the answer, and as what kind of file that is saved. */
export function views(element, chosen) {
  const drawing = new Drawing(element("drawing"));
  const code = reader(element("python"));
  return {
    drawing: {
      question: () => ["drawing", chosen("by"), document.documentElement.dataset.theme],
      show: (svg) => drawing.show(svg),
      saved: (svg, net) => [svg, `${net}.svg`, "image/svg+xml"],
    },
    costs: {
      question: () => ["costs", chosen("rows")],
      show: (grid) => element("costs").replaceChildren(...(grid ? table(grid) : [])),
      saved: (grid, net) => [csv(grid), `${net}.csv`, "text/csv"],
    },
    python: {
      question: () => ["python"],
      show: (text) => setText(code, text),
      saved: (text, net) => [text, `${net}.py`, "text/x-python"],
    },
    zoom: (factor) => drawing.zoom(factor),
  };
}

/** The drawing in a tree of its own, since its style names every text; as wide as there is room until it is zoomed. */
class Drawing {
  constructor(element) {
    this.root = element.attachShadow({ mode: "open" });
    this.scale = null;
  }

  show(text) {
    if (!text) {
      this.root.replaceChildren();
      return;
    }
    const svg = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    this.width = Number(svg.getAttribute("width"));
    const style = document.createElement("style");
    style.textContent = ":host { padding: 12px } svg { display: block; margin: auto; height: auto }";
    this.root.replaceChildren(style, document.adoptNode(svg));
    this.zoom();
  }

  /** Makes it larger by a factor, or fits it where there is none. */
  zoom(factor) {
    const svg = this.root.querySelector("svg");
    if (!svg) {
      return;
    }
    const shown = svg.getBoundingClientRect().width / this.width;
    this.scale = factor ? shown * factor : factor === 0 ? null : this.scale;
    svg.style.width = this.scale ? `${this.width * this.scale}px` : `${this.width}px`;
    svg.style.maxWidth = this.scale ? "none" : "100%";
  }
}

function table({ title, head, rows, left, notes }) {
  const element = document.createElement("table");
  element.createTHead().append(line(head, left, "th"));
  element.createTBody().append(...rows.map((row) => line(row, left, "td")));
  return [paragraph(title), element, ...notes.map(paragraph)];
}

function line(cells, left, tag) {
  const row = document.createElement("tr");
  row.append(
    ...cells.map((text, at) => {
      const cell = document.createElement(tag);
      cell.textContent = text;
      cell.className = at < left ? "left" : "";
      return cell;
    }),
  );
  return row;
}

function paragraph(text) {
  const element = document.createElement("p");
  element.textContent = text;
  return element;
}

function csv({ head, rows }) {
  const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [head, ...rows].map((row) => row.map(cell).join(",") + "\n").join("");
}
