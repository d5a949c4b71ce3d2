"""Where diagnostics point: `python -m benchmarks.mutations` breaks gallery files one token at a time and looks.

A mutation deletes a token, doubles it, misspells a name, changes a number or puts in another token of the file. The
file is then still valid, or a diagnostic says what is wrong: its primary place is on the line that was changed, or a
label or note of it is (a shape that stopped fitting shows both operands, a mistake in a block the call that led to it),
or it is on a use of the name that the mutation took away, a line that it really broke; or it is elsewhere.

`--edits` looks at what is proposed instead: each edit that is shown is applied, and `--fix` is run. Two thirds of these
mutations are words of PyTorch, Keras and Python.
"""

from __future__ import annotations

import argparse
import json
import random
from bisect import bisect
from collections import Counter
from itertools import pairwise
from pathlib import Path

from archdsl import project
from archdsl.core.source import Source
from archdsl.diagnose.fix import applied, diagnose, fixed, proven
from archdsl.diagnostics import CompileError, Diagnostic
from archdsl.syntax.grammar import load
from archdsl.syntax.lexer import Lexer
from archdsl.syntax.parser import ITEM

RESULT = Path(__file__).parent / "results" / "mutations.json"
WAYS = ("delete", "double", "misspell", "number", "other")
FOREIGN = {  # what is written elsewhere
    "conv": ["Conv2d", "conv2d", "Conv2D", "nn.Conv2d"], "bn": ["BatchNorm2d(64)", "BatchNormalization()", "nn.bn"],
    "relu": ["ReLU()", "relu(inplace=True)", "nn.ReLU(inplace=True)", "F.relu"], "linear": ["Dense", "nn.Linear", "fc"],
    "maxpool": ["MaxPool2d", "MaxPooling2D"], "global_avgpool": ["AdaptiveAvgPool2d(1)", "mean", "gap"],
    "flatten": ["Flatten()", "view(-1)"], "cat": ["concat", "torch.cat"], "add": ["Add()", "sum"], "pad": ["padding"],
    "stride": ["strides"], "false": ["False", "None"], "true": ["True"], "channels": ["size(1)", "shape[1]"],
    "elif": ["else if", "elseif"], "for": ["while", "foreach"], "block": ["def", "class"], "net": ["class"],
    "->": ["|", ">>", ".", "+", "-", ";"], "=": ["==", ":=", "+=", " : int ="], ":": ["", " {", "::"], ",": ["", ";"],
    "(": ["", "(("], ")": ["", "))"], "groups": ["group", "num_groups"], "dropout": ["Dropout", "dropout(rate=0.5)"],
}  # fmt: skip


def tokens(source: Source) -> list[tuple[str, int, int]]:
    """Return the tokens of a file that are text: kind, start, end."""
    found = [(kind, start, end) for kind, _, start, end in Lexer(load()).tokens(source)]
    return [t for t in found if t[2] > t[1] and not t[0].startswith("_") and t[0] != "LONG_STRING"]


def mutation(text: str, chosen: tuple[str, int, int], every: list[tuple[str, int, int]], rng: random.Random) -> str:
    """Return what a token is changed to."""
    kind, start, end = chosen
    word = text[start:end]
    way = rng.choice(WAYS)
    if way == "delete":
        return ""
    if way == "double":
        return f"{word} {word}"
    if way == "misspell" and word.isidentifier() and len(word) > 2:
        at = rng.randrange(1, len(word))
        return word[:at] + word[at + 1 :]
    if way == "number" and word.isdigit():
        return str(int(word) + rng.choice((-1, 1, 7)))
    _, a, b = rng.choice([t for t in every if t[0] == kind] if rng.random() < 0.5 else every)
    return text[a:b]


def foreign(text: str, chosen: tuple[str, int, int], rng: random.Random) -> str:
    """Return what a token is elsewhere; the token where it is the same."""
    word = text[chosen[1] : chosen[2]]
    return rng.choice(FOREIGN.get(word, [word]))


def diagnostics(name: str, text: str) -> list[Diagnostic]:
    """Return the mistakes of a changed gallery file."""
    try:
        return diagnose(project.source_of(name, text, project.path_of(name)))
    except CompileError as mistake:
        return [mistake.diagnostic]


def outcome(found: list[Diagnostic], line: int, word: str) -> str:
    """Say what became of a mutation of a word: valid, on the line, mentioned, broken use or elsewhere."""
    if not found:
        return "valid"
    if any(diagnostic.primary.span.line == line for diagnostic in found):
        return "on the line"
    if any(line in mentioned(diagnostic) for diagnostic in found):
        return "mentioned"
    return "broken use" if any(word == diagnostic.primary.span.text for diagnostic in found) else "elsewhere"


def mentioned(diagnostic: Diagnostic) -> set[int]:
    """Return the lines of a diagnostic's labels and notes."""
    spans = [label.span for label in diagnostic.secondary]
    spans += [note.span for note in diagnostic.notes if note.span is not None]
    return {line for span in spans for line in range(span.line, span.line + span.text.count("\n") + 1)}


def changed(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Return a text with pieces of it replaced."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def run(count: int, seed: int) -> Counter[str]:
    """Make mutations and count what became of them, and those with a diagnostic more that points elsewhere.

    Of those that are found on their line, two of a file on different lines are then made together.
    """
    rng = random.Random(seed)
    files = [project.read(project.path_of(stem)) for stem in project.bundled()]
    counts: Counter[str] = Counter()
    placed: dict[Source, dict[int, tuple[int, int, str]]] = {}
    done = 0
    while done < count:
        source = rng.choice(files)
        every = tokens(source)
        chosen = rng.choice(every)
        start, end, new = edit = (*chosen[1:], mutation(source.text, chosen, every, rng))
        word = source.text[start:end]
        if new == word:
            continue
        line = source.line_of(start)
        found = diagnostics(source.name, changed(source.text, [edit]))
        counts[outcome(found, line, word)] += 1
        counts["strays"] += len(found) > 1 and any(outcome([one], line, word) == "elsewhere" for one in found)
        if any(diagnostic.primary.span.line == line for diagnostic in found):
            placed.setdefault(source, {})[line] = edit
        done += 1
    return counts + pairs(placed)


def pairs(placed: dict[Source, dict[int, tuple[int, int, str]]]) -> Counter[str]:
    """Make mutations of neighbouring lines two at a time and count how often both are found where they are."""
    counts: Counter[str] = Counter()
    for source, edits in placed.items():
        starts = [source.line_of(found.start()) for found in ITEM.finditer(source.text)]
        for first, second in pairwise(sorted(edits)):
            found = diagnostics(source.name, changed(source.text, [edits[first], edits[second]]))
            both = {first, second} <= {diagnostic.primary.span.line for diagnostic in found}
            where = "in one definition" if bisect(starts, first) == bisect(starts, second) else "in two definitions"
            counts[f"pairs {where}"] += 1
            counts[f"both {where}"] += both
    return counts


def edits(count: int, seed: int) -> Counter[str]:
    """Make mutations and count the edits that are proposed, those shown, which of them mend, and what `--fix` does."""
    rng = random.Random(seed)
    files = [project.read(project.path_of(stem)) for stem in project.bundled()]
    counts: Counter[str] = Counter()
    while counts["mutations"] < count:
        source = rng.choice(files)
        every = tokens(source)
        chosen = rng.choice(every)
        if counts["mutations"] % 3:
            chosen = rng.choice([t for t in every if source.text[t[1] : t[2]] in FOREIGN])
            new = foreign(source.text, chosen, rng)
        else:
            new = mutation(source.text, chosen, every, rng)
        if new == source.text[chosen[1] : chosen[2]]:
            continue
        counts["mutations"] += 1
        counts += _edits_of(source.replace(text=changed(source.text, [(*chosen[1:], new)])))
    return counts


def _edits_of(source: Source) -> Counter[str]:
    counts: Counter[str] = Counter()
    found = diagnose(source)
    counts["proposed"] = sum(h.span is not None for d in found for h in d.help)
    if not counts["proposed"]:
        return counts
    for diagnostic in proven(found, source):
        for proposal in [h for h in diagnostic.help if h.span is not None]:
            counts["shown"] += 1
            after = diagnose(applied(source, proposal))
            left = [d for d in after if d.title == diagnostic.title and d.primary.span.line == proposal.span.line]
            uses = any("more use" in note.text for note in diagnostic.notes)  # of the name on the same line
            counts["shown that mend"] += (uses or not left) and len(after) < len(found) + uses
    text, done = fixed(source)
    after = diagnose(source.replace(text=text)) if done else found
    counts["fixed"], counts["made worse"] = len(done), len(after) > len(found)
    counts["made right"] = bool(done) and not after
    return counts


def print_edits(found: Counter[str]) -> None:
    """Print what became of the edits."""
    print(f"{found['mutations']} mutations: {found['proposed']} edits, of which {found['shown']} are shown")
    print(
        f"{found['shown that mend']} of those mend; `--fix` applied {found['fixed']}, made {found['made right']} files"
    )
    print(f"right and {found['made worse']} worse")


def main() -> None:
    """Run, print and keep the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--edits", action="store_true", help="apply the edits that are proposed")
    options = parser.parse_args()
    if options.edits:
        found = edits(options.count, options.seed)
        print_edits(found)
        keep("edits", found)
        return
    found = run(options.count, options.seed)
    broken = options.count - found["valid"]
    placed = broken - found["elsewhere"]
    print(f"{options.count} mutations: {found['valid']} still valid, {broken} with diagnostics")
    print(
        f"{found['on the line'] / broken:.1%} on the changed line, "
        f"{placed / broken:.1%} there, with a label there, or on a use of what is gone; "
        f"{found['strays'] / broken:.1%} with a further one elsewhere"
    )
    for where in ("in two definitions", "in one definition"):
        print(f"two at a time, {where}: both found in {found[f'both {where}'] / found[f'pairs {where}']:.1%}")
    keep("places", found)


def keep(what: str, found: Counter[str]) -> None:
    """Write counts beside the others."""
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    RESULT.write_text(json.dumps(known | {what: dict(found)}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
