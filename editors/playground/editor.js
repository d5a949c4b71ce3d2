// The editor: CodeMirror with the language's colours, mistakes as squiggles, and shapes at the ends of lines.

import { autocompletion, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab, toggleComment } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import {
  bracketMatching, HighlightStyle, indentService, indentUnit, LanguageSupport, StreamLanguage, syntaxHighlighting,
} from "@codemirror/language";
import { forEachDiagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap, lineNumbers,
  WidgetType,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import grammar from "../vscode/syntaxes/arch.tmLanguage.json";
import { tokenizer } from "./textmate.js";
import { completing, hovering } from "./words.js";

const TAGS = {
  comment: tags.comment, string: tags.string, number: tags.number, constant: tags.bool, operator: tags.operator,
  define: tags.definitionKeyword, keyword: tags.keyword, punctuation: tags.punctuation, kind: tags.className,
  label: tags.labelName, call: tags.standard(tags.function(tags.name)), argument: tags.attributeName,
  name: tags.variableName,
};

const colours = HighlightStyle.define([
  { tag: tags.comment, color: "var(--comment)", fontStyle: "italic" },
  { tag: [tags.string, tags.number, tags.bool, tags.null], color: "var(--literal)" },
  { tag: [tags.keyword, tags.operatorKeyword, tags.self], color: "var(--keyword)" },
  { tag: tags.definitionKeyword, color: "var(--define)", fontWeight: "bold" },
  { tag: [tags.className, tags.definition(tags.className)], color: "var(--kind)", fontWeight: "bold" },
  { tag: [tags.standard(tags.function(tags.name)), tags.function(tags.variableName)], color: "var(--call)" },
  { tag: tags.labelName, color: "var(--label)" },
  { tag: tags.attributeName, color: "var(--argument)" },
  { tag: [tags.operator, tags.punctuation, tags.variableName, tags.propertyName], color: "var(--name)" },
]);

const look = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--page)", fontSize: "13px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace", lineHeight: "1.5" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--page)", color: "var(--soft)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--active)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--chosen)",
  },
  ".cm-selectionMatch, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--head)" },
  ".cm-tooltip, .cm-panels": { backgroundColor: "var(--box)", color: "var(--ink)", borderColor: "var(--edge)" },
  ".cm-tooltip": { maxWidth: "min(44em, 90vw)" },
  ".cm-textfield, .cm-button": { backgroundColor: "var(--page)", backgroundImage: "none", color: "var(--ink)" },
  ".cm-diagnostic": { whiteSpace: "pre-wrap" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--error)" },
  ".cm-diagnostic-warning": { borderLeftColor: "var(--warning)" },
  ".cm-diagnosticAction": { backgroundColor: "var(--link)", color: "var(--page)", borderRadius: "4px" },
  ".cm-about": { padding: "6px 10px", whiteSpace: "pre-wrap", maxHeight: "40vh", overflow: "auto" },
  ".cm-about code": { fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace", color: "var(--call)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--chosen) !important", color: "var(--ink) !important" },
  ".cm-shape": { color: "var(--comment)", paddingLeft: "2.5em", fontSize: "0.88em", whiteSpace: "pre" },
});

const placed = StateEffect.define();

/** Shapes, each with a place in its line; it stays in that line through edits, and is shown at its end. */
const shapes = StateField.define({
  create: () => [],
  update(found, transaction) {
    const told = transaction.effects.find((effect) => effect.is(placed));
    if (told) {
      return told.value;
    }
    return transaction.docChanged ? found.map((one) => ({ ...one, at: transaction.changes.mapPos(one.at, -1) })) : found;
  },
  provide: (field) =>
    EditorView.decorations.compute([field, "doc"], (state) => {
      const lines = new Map(state.field(field).map((one) => [state.doc.lineAt(one.at).to, one]));
      const sorted = [...lines].sort(([one], [other]) => one - other);
      return Decoration.set(sorted.map(([end, one]) => Decoration.widget({ widget: new Shape(one), side: 1 }).range(end)));
    }),
});

class Shape extends WidgetType {
  constructor({ text, more }) {
    super();
    this.text = text;
    this.more = more;
  }

  eq(other) {
    return this.text === other.text && this.more === other.more;
  }

  toDOM() {
    const element = document.createElement("span");
    element.className = "cm-shape";
    element.textContent = this.text;
    element.title = this.more;
    element.setAttribute("aria-hidden", "true");
    return element;
  }
}

const language = new LanguageSupport(
  StreamLanguage.define({ ...tokenizer(grammar), name: "arch", tokenTable: TAGS, languageData: { commentTokens: { line: "#" } } }),
  indentService.of((context, at) => {
    const line = context.lineAt(at, -1);
    const before = context.state.doc.lineAt(at).from === line.from && at > line.from ? line : context.lineAt(at - 1, -1);
    return context.lineIndent(before.from) + (/:\s*(#.*)?$/.test(before.text) ? 4 : 0);
  }),
);

/** An editor in an element, which knows `words` of the language; `changed` is called after each edit. */
export function editor(parent, words, changed) {
  const keys = keymap.of([
    { key: "Mod-/", run: toggleComment }, ...completionKeymap, indentWithTab, ...defaultKeymap, ...historyKeymap,
    ...searchKeymap, ...lintKeymap,
  ]);
  const completion = autocompletion({ override: [completing(words)], selectOnOpen: false, icons: false });
  return new EditorView({
    parent,
    state: EditorState.create({
      extensions: [
        lineNumbers(), highlightActiveLineGutter(), highlightActiveLine(), history(), drawSelection(), bracketMatching(),
        highlightSelectionMatches(), search({ top: true }), lintGutter(), indentUnit.of("    "), keys, language, shapes,
        completion, hoverTooltip(hovering(words)), syntaxHighlighting(colours), look,
        EditorView.contentAttributes.of({ "aria-label": "the text" }),
        EditorView.updateListener.of((update) => update.docChanged && changed()),
      ],
    }),
  });
}

/** A page of Python that is only read. */
export function reader(parent) {
  const extensions = [lineNumbers(), python(), syntaxHighlighting(colours), look, EditorState.readOnly.of(true), search({ top: true }), keymap.of(searchKeymap)];
  return new EditorView({ parent, state: EditorState.create({ extensions }) });
}

export function setText(view, text) {
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
}

/** Shows the shapes of the lines of the text as it is. */
export function showShapes(view, found) {
  const { doc } = view.state;
  const value = found.map(({ line, text, more }) => ({ at: doc.line(line).to, text, more }));
  view.dispatch({ effects: placed.of(value) });
}

/** Marks mistakes; `apply` is called with an edit of one that is chosen. */
export function showMistakes(view, found, apply) {
  const marked = found.map((one) => ({
    from: one.from,
    to: one.to,
    severity: one.level,
    message: one.title + (one.label ? `: ${one.label}` : ""),
    source: one.code,
    actions: one.edits.map((edit) => ({ name: edit.text, apply: () => apply(edit) })),
    told: one,
  }));
  view.dispatch(setDiagnostics(view.state, marked));
}

/** The mistakes that are marked, at their places in the text as it is. */
export function marked(view) {
  const found = [];
  forEachDiagnostic(view.state, ({ told }, from, to) => found.push({ ...told, from, to }));
  return found;
}
