// Splits a line by the TextMate grammar that VS Code has, so that both colour every text alike. Of such grammars this
// knows what `archdsl.report.textmate` writes: `match` with `captures`, `begin` to `end` with their own patterns, `include`.

/** What each scope is shown as: the first that its name starts with. */
export const STYLES = [
  ["comment", "comment"],
  ["string", "string"],
  ["constant.numeric", "number"],
  ["constant.language", "constant"],
  ["keyword.operator", "operator"],
  ["keyword.declaration", "define"],
  ["keyword", "keyword"],
  ["punctuation", "punctuation"],
  ["entity.name.type", "kind"],
  ["entity.name.namespace", "kind"],
  ["entity.name.tag", "label"],
  ["support.function", "call"],
  ["variable.parameter", "argument"],
  ["variable", "name"],
];

/** A tokenizer, as CodeMirror's `StreamLanguage` takes it. */
export function tokenizer(grammar) {
  const compiled = new Map();
  const outermost = flat(grammar.patterns, grammar);
  return {
    startState: () => ({ open: [], ready: [] }),
    copyState: (state) => ({ open: [...state.open], ready: [...state.ready] }),
    token(stream, state) {
      if (!state.ready.length) {
        find(stream, state);
      }
      const [length, style] = state.ready.shift();
      stream.pos += length;
      return style;
    },
  };

  /** Finds the words from here on, up to the end of the first pattern that fits. */
  function find(stream, state) {
    const rule = state.open.at(-1);
    const ended = rule && fits(rule.end, stream);
    if (ended) {
      state.open.pop();
      state.ready.push([ended[0].length, styleOf(rule.endCaptures?.[0].name ?? rule.name)]);
      return;
    }
    for (const pattern of rule ? inside(rule) : outermost) {
      const found = fits(pattern.match ?? pattern.begin, stream);
      if (found) {
        state.ready.push(...parts(pattern, found));
        if (pattern.begin) {
          state.open.push(pattern);
        }
        return;
      }
    }
    state.ready.push([1, rule ? styleOf(rule.name) : null]);
  }

  function inside(rule) {
    rule.flat ??= flat(rule.patterns ?? [], grammar);
    return rule.flat;
  }

  function fits(text, stream) {
    if (!compiled.has(text)) {
      compiled.set(text, new RegExp(text, "y"));
    }
    const expression = compiled.get(text);
    expression.lastIndex = stream.pos;
    const found = expression.exec(stream.string);
    return found && (found[0].length ? found : null);
  }
}

/** The patterns themselves where some are included by name. */
function flat(patterns, grammar) {
  return patterns.flatMap((pattern) => {
    if (!pattern.include) {
      return [pattern];
    }
    const named = grammar.repository[pattern.include.slice(1)];
    return named.begin || named.match ? [named] : flat(named.patterns, grammar);
  });
}

/** What was found, as lengths with their styles: its groups, which are in order, and what is between them. */
function parts(pattern, found) {
  const captures = pattern.captures ?? {};
  if (!Object.keys(captures).length) {
    return [[found[0].length, styleOf(pattern.beginCaptures?.[0].name ?? pattern.name)]];
  }
  const all = [];
  let at = 0;
  for (const [number, { name }] of Object.entries(captures)) {
    const text = found[number];
    if (text) {
      const start = found[0].indexOf(text, at);
      all.push([start - at, null], [text.length, styleOf(name)]);
      at = start + text.length;
    }
  }
  return [...all, [found[0].length - at, null]].filter(([length]) => length);
}

function styleOf(scope) {
  return STYLES.find(([start]) => scope?.startsWith(start))?.[1] ?? null;
}
