// The words of the language and of the text: completed as one types, and explained under the pointer.

import { syntaxTree } from "@codemirror/language";

const isProse = (state, at) => /comment|string/i.test(syntaxTree(state).resolveInner(at, -1).name);

/** Completes from what the language and the text have; `words` are those of the language with what is said of each. */
export function completing(words) {
  const known = Object.entries(words).map(([label, text]) => ({ label, info: text ? () => about(text) : undefined }));
  return (context) => {
    const word = context.matchBefore(/[A-Za-z_]\w*/);
    if ((!word && !context.explicit) || isProse(context.state, context.pos)) {
      return null;
    }
    const own = new Set(context.state.doc.toString().replace(/#.*|"[^"]*"/g, "").match(/[A-Za-z_]\w*/g));
    own.delete(word?.text); // which is being written
    const options = [...own].filter((name) => !(name in words)).map((label) => ({ label, boost: 1 }));
    return { from: word?.from ?? context.pos, options: [...options, ...known], validFor: /^\w*$/ };
  };
}

/** Says what is known of the word under the pointer. */
export function hovering(words) {
  return (view, at) => {
    if (isProse(view.state, at)) {
      return null;
    }
    const line = view.state.doc.lineAt(at);
    for (const found of line.text.matchAll(/[A-Za-z_]\w*/g)) {
      const start = line.from + found.index;
      const end = start + found[0].length;
      if (start <= at && at < end && Object.hasOwn(words, found[0]) && words[found[0]]) {
        return { pos: start, end, above: true, create: () => ({ dom: about(words[found[0]]) }) };
      }
    }
    return null;
  };
}

/** A text of Markdown as far as these use it: what is between backticks is code. */
function about(text) {
  const element = document.createElement("div");
  element.className = "cm-about";
  for (const [number, part] of text.split("`").entries()) {
    const piece = document.createElement(number % 2 ? "code" : "span");
    piece.textContent = part.replace(/^- /gm, "• ");
    element.append(piece);
  }
  return element;
}
