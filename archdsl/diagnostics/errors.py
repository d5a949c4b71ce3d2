"""The catalogue of diagnostics: one function each. Code that raises states facts; the words are here.

    raise errors.unknown_name(span, "bottlneck", candidates)

A function's docstring is its long explanation. Codes: E01 text, E02 names and values, E03 shapes, E04 sweeps, W05
advice; none is used twice.
"""

from __future__ import annotations

import re

from archdsl.core.record import Record
from archdsl.core.source import Source, Span
from archdsl.diagnostics import CompileError, Diagnostic, Help, Label, Note, elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import ParamSpec

    P = ParamSpec("P")

# What other stages have to know of a diagnostic, beside its words.
TRAITS = {
    "syntax": "only parsing finds it",
    "token": "a token does not fit the one before it",
    "character": "of the lexer, and one character makes it",
    "bracket": "after it, what else seems wrong with the brackets follows from it",
    "unclosed": "its bracket is left out where reading goes on",
    "limit": "nothing is gained after it, and time is lost",
    "long": "whatever comes after it takes its time",
    "unknown": "a name means nothing, which other mistakes explain",
    "use": "told once for all uses of a name",
    "question": "of what was asked, not of one setting among many",
    "asked": "of the command line or of files, not of what is written in one",
    "size": "another size of an input may mend it",
    "shape": "of what tensors are, not of what names mean",
    "unused": "of a name, and explains a result that nobody uses",
    "unused result": "follows from a name without a use",
    "once": "published networks do it throughout, and it is told once",
}
LONGEST_NAME, MOST_NAMES = 40, 200  # that a suggestion is looked for with: comparing two takes 15 to 40 µs
CATALOGUE: dict[str, Callable[..., CompileError | Diagnostic]] = {}


def error(code: str, *traits: str) -> Callable[[Callable[P, Diagnostic]], Callable[P, CompileError]]:
    """Register a diagnostic under its code; calling the result gives the exception to raise."""

    def register(describe: Callable[P, Diagnostic]) -> Callable[P, CompileError]:
        def build(*args: P.args, **kwargs: P.kwargs) -> CompileError:
            return CompileError(describe(*args, **kwargs).replace(code=code, traits=traits))

        build.__doc__, build.__name__ = describe.__doc__, describe.__name__
        _enter(code, traits, build)
        return build

    return register


def advice(code: str, *traits: str) -> Callable[[Callable[P, Diagnostic]], Callable[P, Diagnostic]]:
    """Register a warning under its code; calling the result gives the diagnostic, which stops nothing."""

    def register(describe: Callable[P, Diagnostic]) -> Callable[P, Diagnostic]:
        def build(*args: P.args, **kwargs: P.kwargs) -> Diagnostic:
            return describe(*args, **kwargs).replace(code=code, traits=traits)

        build.__doc__, build.__name__ = describe.__doc__, describe.__name__
        _enter(code, traits, build)
        return build

    return register


def _enter(code: str, traits: tuple[str, ...], build: Callable[..., CompileError | Diagnostic]) -> None:
    if code in CATALOGUE or not all(trait in TRAITS for trait in traits):
        raise ValueError(f"two diagnostics have the code {code}, or one of {traits} is not in the table")
    CATALOGUE[code] = build


def used_again(diagnostic: Diagnostic, uses: int) -> Diagnostic:
    """Say of a mistake in a block that is used so often how many more uses there are."""
    return diagnostic.noting(Note(f"and {uses - 1} more where this is used again")) if uses > 1 else diagnostic


def _simple(title: str, span: Span, label: str = "", *more: Note | Help | Label) -> Diagnostic:
    return Diagnostic(
        code="",
        title=title,
        primary=Label(span, label),
        secondary=tuple(m for m in more if isinstance(m, Label)),
        notes=tuple(m for m in more if isinstance(m, Note)),
        help=tuple(m for m in more if isinstance(m, Help)),
    )


def _did_you_mean(span: Span, name: str, candidates: Iterable[str]) -> list[Help]:
    """Return the nearest name as a guess, which is shown and never applied: `matmul` is not `mul`."""
    from difflib import get_close_matches

    if len(name) > LONGEST_NAME:
        return []
    alike = {c for c in candidates if abs(len(c) - len(name)) <= len(name)}
    near = sorted(alike, key=lambda c: (c[:1] != name[:1], abs(len(c) - len(name)), c))
    close = get_close_matches(name, near[:MOST_NAMES], n=1, cutoff=0.6 if len(name) > 2 else 1)
    if not close or (close[0][0] != name[0] and not get_close_matches(name, close, cutoff=0.8)):
        return []  # no suggestion is better than a wrong one
    return [Help(f"did you mean `{close[0]}`?", span, close[0], sure=False)]


# -------------------------------------------------------------------------------------------------- E01: the text
@error("E0101", "syntax", "character")
def strange_character(span: Span) -> Diagnostic:
    """A character stands where a word, a number or a sign was expected, and no word of the language starts with it.

    Strings are written in double quotes: `"same"`, never `'same'`.

    Wrong:

        conv(8, 3, mode='same')
    """
    character, text = span.text, span.source.text
    if character == '"""' or text[max(0, span.start - 2) : span.end] == '"""':
        quotes = span.replace(start=span.end - 3)
        return _simple("unclosed docstring", quotes, "these quotes are never closed")
    if character == '"':
        return _simple("unclosed string", span, "this quote is not closed on its line")
    title = f"unexpected character {character!r}"
    return _simple(title, span, "no word of the language starts with it", *_instead(span, character))


def _instead(span: Span, character: str) -> list[Help]:
    """Say how something is written that another notation has a character for."""
    from unicodedata import normalize

    plain = normalize("NFKC", character)
    if plain != character and plain.isascii() and plain.isprintable():
        line = span.source.line(span.line)[span.column - 1 :]
        ascii = "".join([one if one.isascii() or not (n := normalize("NFKC", one)).isascii() else n for one in line])
        return [Help("write it in ASCII", span.replace(end=span.start + len(line)), ascii)]
    if character.isalpha():
        return [Help("names are made of ASCII letters, digits and `_`")]
    text, start = span.source.text, span.start
    if text[start : start + 2] in ("&&", "||"):
        word = "and" if character == "&" else "or"
        return [Help(f"conditions are joined by `{word}`", span.replace(end=start + 2), word)]
    ends = text.find("'''", start + 3) if text.startswith("'''", start) else -1
    if ends > 0 and '"' not in text[start:ends]:
        docstring = f'"""{text[start + 3 : ends]}"""'
        return [Help("a docstring stands in three double quotes", span.replace(end=ends + 3), docstring)]
    closing = text.find("'", span.end, text.find("\n", span.end) % (len(text) + 1)) if character == "'" else -1
    if closing > 0 and '"' not in text[start:closing]:
        return [Help(elsewhere.CHARACTERS["'"], span.replace(end=closing + 1), f'"{text[span.end : closing]}"')]
    return [Help(elsewhere.CHARACTERS[character])] if character in elsewhere.CHARACTERS else []


@error("E0102", "syntax", "bracket", "unclosed")
def unclosed(span: Span, closing: str, further: Span | None = None) -> Diagnostic:
    """A bracket is opened and the text ends before it is closed.

    Inside brackets a line continues on the next one, so the mistake can lie far above the end of the file.

    Wrong:

        conv(8, 3 -> relu
    """
    more = [Label(further, "this does not belong inside it")] if further is not None else []
    return _simple(
        f"unclosed `{span.text}`", span, "opened here and never closed", *more, Help(f"add the missing `{closing}`")
    )


@error("E0103", "syntax", "bracket", "character")
def unbalanced(span: Span, opened: Sequence[tuple[str, int]]) -> Diagnostic:
    """A closing bracket has no opening one, or closes a bracket of another kind.

    Wrong:

        conv(8, 3)) -> relu
    """
    more: list[Label | Note] = []
    if opened:
        word, start = opened[-1]
        more = [Label(span.replace(start=start, end=start + 1), f"the bracket that is open here is `{word}`")]
    return _simple(f"`{span.text}` closes nothing", span, "no bracket of this kind is open", *more)


@error("E0104", "syntax")
def mixed_tabs(span: Span) -> Diagnostic:
    r"""Tabs and spaces are mixed in indentation, so that what a reader sees is not what the line structure is.

    Indent with spaces, or with tabs, throughout a file.

    Wrong:

        conv(8, 3)
        \trelu
    """
    return _simple("tabs and spaces are mixed in indentation", span, "", Help("indent every line with spaces"))


@error("E0105", "syntax")
def odd_dedent(span: Span, columns: list[int]) -> Diagnostic:
    """A line is indented less than the line before it, but does not line up with any line that opened a body.

    Wrong:

        if image.channels == 3:
            relu
          silu
    """
    at = " or ".join(str(c + 1) for c in columns)
    return _simple("indentation matches no body", span, f"a line here starts at column {at}")


@error("E0106", "limit")
def too_deep(span: Span, what: str, limit: int) -> Diagnostic:
    """Brackets, bodies or expressions are nested deeper than the language allows.

    The limits keep the time and memory of a check bounded, so that a stranger's file is safe to check.

    Wrong:

        conv(-----------------------------------------------------------------------------------------------------8, 3)
    """
    return _simple(f"too many {what} inside one another", span, f"the limit is {limit}")


@error("E0107", "syntax", "token")
def unexpected(
    span: Span, found: str, expected: list[str], hint: Help | None = None, labels: Sequence[Label] = ()
) -> Diagnostic:
    """The text is not a sentence of the language: something else was expected at this place.

    Wrong:

        conv(8 3)
    """
    wanted = ", ".join(expected[:-1]) + (" or " if len(expected) > 1 else "") + expected[-1] if expected else ""
    helps = [hint] if hint is not None else []
    label = f"expected {wanted}" if wanted and len(expected) <= 8 else ""
    return _simple(f"unexpected {found}", span, label, *labels, *helps)


@error("E0108", "asked")
def unreadable(span: Span, reason: str, hint: str = "") -> Diagnostic:
    """A file cannot be used: it is missing, a directory, not text in UTF-8, too large, or holds no definition.

    Wrong:

        $ archdsl check missing.arch
    """
    return _simple(reason, span, "", *([Help(hint)] if hint else []))


@error("E0109", "asked", "question")
def no_network(span: Span, name: str, candidates: Sequence[str], file: str = "") -> Diagnostic:
    """A name is neither a bundled network nor the path of a file.

    Wrong:

        $ archdsl check resnet5O
    """
    close = [Help(f"a file is meant by its path, `{file}`")] if file else []
    close += [Help(h.text) for h in _did_you_mean(span, name, candidates)]
    listing = Help("`archdsl list` shows the bundled networks")
    if not close and name.lower().startswith(elsewhere.NOT_CONVOLUTIONAL):
        have = "of transformers, the gallery has `vit_b_16` and its sizes, and `mobilevit_s`"
        note = Note(f"archdsl is for convolutional networks; {have}")
        return _simple(f"no network or file `{name}`", span, "", note, listing)
    return _simple(f"no network or file `{name}`", span, "", *(close or [listing]))


@error("E0110", "asked")
def unwritable(path: str, reason: str) -> Diagnostic:
    """The output cannot be written. Nothing that was there before is touched.

    Wrong:

        $ archdsl compile lenet5 -o no/such/folder/lenet5.py
    """
    return _simple(f"cannot write `{path}`: {reason}", Span(Source(path, ""), 0, 0))


@error("E0111", "asked")
def bad_option(option: str, text: str, expected: str) -> Diagnostic:
    """An option of the command line cannot be read.

    Wrong:

        $ archdsl check lenet5 --input 28x28x?
    """
    return _simple(f"`{option} {text}` cannot be read", Span(Source(option, text), 0, len(text)), expected)


@error("E0112", "syntax")
def open_choice(span: Span, chain: Span) -> Diagnostic:
    """A choice in a chain has no parentheses, so that a reader cannot tell what it decides.

    `conv(8, 3) -> bn if deep` leaves out the norm alone, as `if` binds tighter than `->`, and reads as if it left out
    both. Parentheses say which is meant.

    Wrong:

        conv(8, 3) -> bn if image.channels > 3
    """
    step = " ".join(span.text.split())
    before = " ".join(chain.text[: span.start - chain.start].split())
    ways = [f"`({step})` decides on this step alone"]
    taken, found, test = re.sub(r"\bif\b", "\0", step, count=1).partition("\0")  # of a repaired text it may be missing
    if found and span.end == chain.end and before.endswith("->") and len(before) + len(step) < 60:
        ways.append(f"`({before} {taken.strip()}) if {test.strip()}` on the whole chain")
    return _simple("a choice in a chain has no parentheses", span, "what this decides is open", Help("; ".join(ways)))


# -------------------------------------------------------------------------------------------------- E02: names, values
@error("E0201", "unknown", "use")
def unknown_name(
    span: Span,
    name: str,
    candidates: Iterable[str],
    label: Span | None = None,
    places: Mapping[str, Span] | None = None,
    passed: tuple[Span, str] | None = None,
    of: str = "",
) -> Diagnostic:
    """A name is used that nothing defines: no operator, block, parameter or binding, here or above.

    A label is no such name: `stem: conv(64, 7)` names the module, `stem = x` after it names the tensor.

    Wrong:

        conv(8, 3) -> rely
    """
    if label is not None:
        first = Label(label, "this labels a step, and binds no name")
        bind = Help(f"bind the tensor after it: `{name} = x`")
        return _simple(f"unknown name `{name}`", span, "no tensor has this name", first, bind)
    if passed is not None:
        first = Label(passed[0], "it is bound here, in one pass of a loop, and ends with that")
        stays = Help(f"with the variable of the loop in it a name stays: `{name}{{{passed[1]}}} = …`")
        return _simple(f"unknown name `{name}`", span, "nothing here has this name", first, stays)
    known = list(candidates)
    candidates = set(known)
    helps = elsewhere.of_name(span, name, candidates) or _did_you_mean(span, name, candidates)
    if "{" in span.text:  # a computed name is not spelled
        helps = []
    if span.source.name.startswith("--set ") and span.text == span.source.text and not helps:
        helps = [Help(f"a text has quotes of its own: `{span.source.name[6:]}='\"{name}\"'`")]
    if of and not helps:
        listed = ", ".join([f"`{each}`" for each in known[:12]]) + (", ..." if len(known) > 12 else "")
        return _simple(f"unknown name `{name}`", span, f"`{of}` has no such name", Note(f"it has {listed}"))
    labels = list(_alike(span, name, helps, places or {}))
    return _simple(f"unknown name `{name}`", span, "nothing here has this name", *labels, *helps)


def _alike(span: Span, name: str, helps: Sequence[Help], places: Mapping[str, Span]) -> Iterator[Label]:
    """Yield where a name is bound that this one was perhaps meant to be: `act1` for `act`, `skip3` for `skip4`."""
    stem = name.rstrip("0123456789")
    alike = [other for other in places if len(stem) > 1 and other.startswith(stem)]
    near = [other for other in alike if stem != name and re.fullmatch(r"\d+", other[len(stem) :])]
    near += [h.replacement for h in helps if h.replacement in places] + alike
    for other in near[:1]:
        if places[other].source is span.source and places[other] != span:
            yield Label(places[other], f"`{other}` is bound here")


@error("E0202", "use", "question")
def unknown_argument(
    span: Span, callee: str, name: str, signature: str, candidates: Iterable[str], declared: Span | None = None
) -> Diagnostic:
    """A call names a parameter that the operator, block or function does not have.

    Wrong:

        conv(8, 3, strid=2)
    """
    candidates = set(candidates)
    return _simple(
        f"`{callee}` has no argument `{name}`",
        span,
        "unknown argument",
        *_declared(span, declared),
        Note(f"`{callee}({signature})`"),
        *(elsewhere.of_argument(span, callee, name, candidates) or _did_you_mean(span, name, candidates)),
    )


@error("E0203", "use")
def missing_argument(span: Span, callee: str, name: str, signature: str, declared: Span | None = None) -> Diagnostic:
    """A call that leaves a required parameter open is a partial application: a value to be completed by a later call.

    It cannot be used as a step, because it is not yet known what it does.

    Wrong:

        conv(8)
    """
    return _simple(
        f"`{callee}` needs `{name}`",
        span,
        f"`{name}` is left open here",
        *_declared(span, declared),
        Note(f"`{callee}({signature})`"),
    )


def _declared(span: Span, declared: Span | None) -> list[Label]:
    """Return where a parameter, or all of a definition, are declared, if that is in the same file."""
    return [Label(declared, "declared here")] if declared is not None and declared.source is span.source else []


@error("E0204")
def too_many_arguments(span: Span, callee: str, signature: str) -> Diagnostic:
    """A call gives more values than there are parameters left to take them.

    Wrong:

        relu(1)
    """
    number = span.text.lstrip("-")[:1].isdigit()
    more = (
        [Help('leave it out: it is the channels; `softmax(axis="tokens")` goes along another axis')]
        if number and callee == "softmax"
        else []
    )
    helps = more if number or span.text[:1] in '"[' else elsewhere.too_many(span, callee)
    return _simple(
        f"too many arguments for `{callee}`", span, "nothing takes this", Note(f"`{callee}({signature})`"), *helps
    )


@error("E0205")
def bad_argument(span: Span, callee: str, name: str, reason: str, got: str) -> Diagnostic:
    """An argument is of the wrong kind, or out of its range.

    Wrong:

        conv(0, 3)
    """
    words = reason.split('"')[1::2]  # those that may be chosen from
    close = _did_you_mean(span, span.text.strip('"').lower(), words) if span.text.startswith('"') else []
    helps = [h.replace(text=f'did you mean "{h.replacement}"?', replacement=f'"{h.replacement}"') for h in close]
    return _simple(
        f"`{name}` of `{callee}` {reason}",
        span,
        f"this is {got}",
        *(helps or _of_value(span, callee, name, reason, got)),
    )


def _of_value(span: Span, callee: str, name: str, reason: str, got: str) -> list[Help]:
    """Say what is written for a value of the wrong kind that is right elsewhere."""
    tensor = got.startswith("a tensor")
    if tensor and callee in SIZED_LIKE and name in ("size", "scale"):
        return [elsewhere.of_size(span, name)]
    if tensor and name == "axes":
        return [Help(f'what a step is applied to stands before it: `{span.text} -> {callee}("channels")`')]
    applied = tensor or got.startswith(("the operator", "the block", "a pipeline"))
    if applied and name not in ("like", "f", "indices", "init", "bias_init"):
        return elsewhere.applied(span)
    if name == "axes" or (name == "axis" and span.text.strip("-").isdigit()):
        return elsewhere.of_axes(span, callee)
    if (callee, name) == ("linear", "bias") and span.text.isdigit():
        return [Help(f"the features that come in are known: `linear({span.text})`")]
    if name == "eps" and span.text.isdigit():
        return [elsewhere.without(span, f"leave it out: {elsewhere.CHANNELS}")]
    if name == "pad" and span.text in ('"same"', '"valid"'):
        named = re.search(r"\bpad\s*=\s*$", span.source.text[: span.start][-40:])
        place = span.replace(start=span.start - len(named.group())) if named else span
        return elsewhere.of_padding(place, callee, span.text.strip('"'))
    if "an integer" in reason and re.fullmatch(r"the number -?\d+\.\d+", got):
        edit = f"{float(span.text):.0f}" if re.fullmatch(r"\d+\.0*", span.text) else f"int({span.text})"
        return [Help(f"a decimal number is no integer: here it is `{edit}`", span, edit, sure=False)]
    return []


SIZED_LIKE = ("upsample", "crop", "untokens")  # operators whose `size` may be that of a tensor, by `like=`


@error("E0206")
def bound_twice(span: Span, name: str, first: Span | None, index: str = "") -> Diagnostic:
    """A name is bound twice in a definition. There is no mutation: each name has one meaning.

    That holds for what stands in a loop or a body, too: a name that is bound there hides none that is bound around it.
    In a loop, interpolate the name: `skip{i} = x`. From one pass to the next only `x` is carried.

    Wrong:

        width = 8
        for i in range(3):
            width = width * 2
    """
    more: list[Label | Help] = [Label(first, "first bound here")] if first else []
    if index:
        more.append(Help(f"`{name}{{{index}}}` is a name for each pass; from one pass to the next only `x` is carried"))
    return _simple(f"`{name}` is bound twice", span, "bound again here", *more)


@error("E0207")
def not_a_pipeline(span: Span, got: str) -> Diagnostic:
    """A step must be a pipeline (an operator, a block, a chain, a sequence) or a tensor; a plain value does nothing.

    Wrong:

        2 + 2
    """
    return _simple("a step must be a pipeline", span, f"this is {got}", *elsewhere.as_step(span))


@error("E0208")
def not_callable(span: Span, got: str, hides: str = "", waits: bool = False) -> Diagnostic:
    """Only operators, blocks, nets and functions can be called; a parameter hides an operator of its name.

    Wrong:

        width = 8
        width(3)
    """
    more: list[Note | Help] = [Note(f"the name that is bound here hides the operator `{hides}`")] if hides else []
    if waits:
        more = [
            Note("what mentions `x` waits for the tensor that reaches it, and takes no more arguments"),
            Help("give all arguments in one call"),
        ]
    elif got.startswith(("a list", "a pipeline")):
        more += elsewhere.called(span)
    return _simple("this cannot be called", span, f"this is {got}", *more)


class Unapplied(Record):
    """A name that is bound to a pipeline, and stands where a tensor is needed: its place, and the pipeline's.

    It `starts` where it begins with a tensor that is learned: then it was surely meant to be one.
    """

    name: str
    span: Span
    written: Span
    starts: bool = False


@error("E0209")
def bad_operands(
    span: Span, sign: str, left: str, right: str, tensors: bool = False, pipeline: Unapplied | None = None
) -> Diagnostic:
    """An arithmetic sign or a comparison stands between values that it is not defined for.

    Wrong:

        conv(8 * "a", 3)
    """
    label, applied = _applied(pipeline)
    helps = elsewhere.of_operands(span, sign, left, right) if tensors else []
    if pipeline is not None and pipeline.starts:
        helps = applied
    return _simple(f"`{sign}` is not defined for these values", span, f"{left} {sign} {right}", *label, *helps)


def _applied(pipeline: Unapplied | None) -> tuple[list[Label], list[Help]]:
    """Return where a name is bound to a pipeline that no tensor reaches, and what would give it one."""
    if pipeline is None:
        return [], []
    label = Label(pipeline.span, f"`{pipeline.name}` is bound to a pipeline, which is applied to no tensor")
    start = pipeline.written.replace(end=pipeline.written.start)
    return [label], [Help("`x -> ` before it applies it to a tensor", start, "x -> ", sure=False)]


@error("E0210")
def not_whole(span: Span, value: str) -> Diagnostic:
    """A quotient is used where an integer is needed, and it is not one: `/` is exact.

    Use `//` to round down, or `ceil`, `round`, `floor` around the quotient.

    Wrong:

        conv(7 / 2, 3)
    """
    hint = "`//` rounds down, `ceil(a / b)` up; what is no count is written as a decimal, `0.5`"
    return _simple(f"{value} is not a whole number", span, "", Help(hint))


@error("E0211", "limit")
def number_too_large(span: Span) -> Diagnostic:
    """A number leaves the range of 64-bit integers, far beyond any size, count or cost of a network.

    Wrong:

        conv(10**30, 3)
    """
    return _simple("number too large", span, "beyond 64 bits")


@error("E0212", "limit", "long")
def limit_exceeded(span: Span, what: str, count: str, limit: int, hint: str = "") -> Diagnostic:
    """A loop, list or network is larger than the compiler expands.

    The limits are far above published networks and keep a check bounded in time and memory.

    Wrong:

        relu * 10**9
    """
    return _simple(f"{what}: {count}", span, f"the limit is {limit}", *([Help(hint)] if hint else []))


@error("E0213")
def bad_label(span: Span, name: str, why: str) -> Diagnostic:
    """A label becomes an attribute of the generated `nn.Module`, so it can be neither a Python keyword nor a name
    that every module already uses, such as `train` or `forward`.

    Wrong:

        class: conv(8, 3)
    """
    plain = name.lstrip("_")
    return _simple(
        f"`{name}` cannot be a label", span, why, Help(f"call it `{plain if plain != name else name + '_'}`")
    )


@error("E0214")
def label_twice(span: Span, name: str, first: Span) -> Diagnostic:
    """Two different steps have one label in a scope. A label is the name of one module.

    To share the weights of one step, bind it to a name once and use that name twice; to name several, interpolate:
    `conv{i}: ...`.

    Wrong:

        stem: conv(8, 3)
        stem: conv(8, 3)
    """
    if span == first:
        number = Help(f"number them: `{name}{{i}}: ...`, where `i` counts the passes")
        return _simple(f"two steps are labelled `{name}`", span, "a different step in each pass of a loop", number)
    return _simple(f"two steps are labelled `{name}`", span, "a different step", Label(first, "the first one"))


@error("E0215")
def requirement(span: Span, message: str, sizes: Sequence[str] = ()) -> Diagnostic:
    """A `require` statement of the text does not hold, perhaps of sizes; the message is its author's.

    Wrong:

        require x.channels == 1, "expects grey images"
    """
    where = f" at {', '.join(sizes)}" if sizes else ""
    return _simple(message, span, f"this requirement does not hold{where}")


@error("E0216")
def no_module(span: Span, name: str, candidates: Iterable[str]) -> Diagnostic:
    """An import names a file that is neither beside the importing one nor in the bundled gallery.

    Wrong:

        from resnet5O import bottleneck
    """
    of_python = name in elsewhere.NAMESPACES or name in ("torchvision", "tensorflow", "typing", "timm")
    helps = [Help(elsewhere.WORDS["import"])] if of_python else _did_you_mean(span, name, candidates)
    return _simple(f"no architecture file `{name}`", span, "neither a sibling nor bundled", *helps)


@error("E0217")
def import_circle(span: Span, chain: list[str]) -> Diagnostic:
    """Files import one another in a circle.

    Wrong:

        from example import stem

        block stem:
            relu
    """
    return _simple("files import one another in a circle", span, "", Note(" -> ".join(chain)))


@error("E0218", "limit")
def endless(span: Span, name: str, limit: int) -> Diagnostic:
    """A block, function or net calls itself without an end. Recursion must be ended by a condition, within a depth.

    Wrong:

        block endless:
            relu -> endless

        net example:
            input image: [N, 3, H=32, W=32]
            endless
    """
    return _simple(f"`{name}` calls itself without an end", span, f"{limit} calls deep", Help("end it with an `if`"))


@error("E0219")
def symbolic_condition(span: Span, text: str) -> Diagnostic:
    """A condition depends on an input size that is still symbolic, so it is neither true nor false for all sizes.

    Wrong:

        if x.height > 100:
            maxpool(2)
    """
    label = f"`{text}` is not the same for every input size"
    ways = Help("`require` may demand it: the network is then legal for the sizes where it holds")
    return _simple("this condition depends on the input size", span, label, ways)


@error("E0220", "asked", "question")
def which_net(span: Span, asked: str, candidates: Sequence[str]) -> Diagnostic:
    """A file has no net, or not the net that was asked for.

    Wrong:

        $ archdsl check lenet5 --net lenet
    """
    if not candidates:
        return _simple("this file defines no net", span, "", Help("add one: `net name(classes=10):`"))
    have = Note("the nets are " + ", ".join(f"`{c}`" for c in candidates[:20]))
    if not asked:
        choose = Help(f'choose one: `--net {candidates[0]}`, or `net="{candidates[0]}"` in Python')
        return _simple("this file has several nets", span, "", have, choose)
    more = [Help(h.text) for h in _did_you_mean(span, asked, candidates)]
    return _simple(f"no net `{asked}` here", span, "", have, *more)


@error("E0221")
def no_tensor(span: Span, what: str) -> Diagnostic:
    """A step stands where no tensor has arrived: a net must declare its `input` first.

    Wrong:

        net example:
            conv(8, 3)
    """
    head = re.compile(r"^(net|block|fn|default|init)\b", re.MULTILINE)
    items = list(head.finditer(span.source.text, 0, span.start))
    before = span.source.text[items[-1].start() : span.start] if items else ""
    if before.startswith("fn"):
        helped = "a function knows no `x`: give it the sizes it needs, `fn half(c) = c // 2`, `half(x.channels)`"
    elif before.count("(") > before.count(")") and not re.search(r":\s*\n", before):
        helped = "a default knows no `x`: bind the value in the body, `half = x.channels // 2`"
    elif not before.startswith(("net", "block")):
        helped = "settings of a file know no tensor"
    else:
        helped = "declare `input image: [N, 3, H=224, W=224]` first"
    return _simple(what, span, "no tensor reaches this", Help(helped))


LIKE_BEFORE = "bind the tensor before the chain, `start = x`, and take `like=start`"


@error("E0222")
def unknown_attribute(
    span: Span, what: str, name: str, candidates: Iterable[str], pipeline: Unapplied | None = None
) -> Diagnostic:
    """A value has no attribute of this name: tensors have `channels height width` and the labels of the net or block
    that made them, records have the names of their outputs.

    Wrong:

        conv(x.chanels, 3)
    """
    have = list(dict.fromkeys(candidates))
    label, applied = _applied(pipeline)
    return _simple(
        f"{what} has no `{name}`",
        span,
        "unknown attribute",
        *label,
        *applied,
        *([Note("it has " + ", ".join(f"`{c}`" for c in have[:12]))] if have else []),
        *(elsewhere.of_attribute(span, name) or _did_you_mean(span, name, have)),
    )


@error("E0223")
def bad_index(span: Span, reason: str, results: Sequence[str] = ()) -> Diagnostic:
    """An index lies outside its list, or is not an integer.

    Wrong:

        widths = [8, 16]
        conv(widths[2], 3)
    """
    more = [Help("`slice(0, 8)` takes a tensor's first 8 channels")] if "a tensor" in reason else []
    if results:
        more = [Help(f"results have names: `{span.text}.{results[0]}`, and `.y{{i}}` for those that count")]
    return _simple(reason, span, "", *more)


@error("E0224")
def bad_value(span: Span, reason: str, label: str = "", hint: str = "", value: Span | None = None) -> Diagnostic:
    """A value is not of the kind that is needed here.

    Wrong:

        for c in 3:
            conv(c, 3)
    """
    where = [Label(value, "in this value")] if value is not None else []
    return _simple(reason, span, label, *where, *([Help(hint)] if hint else []))


@error("E0225")
def misplaced(span: Span, what: str, where: str) -> Diagnostic:
    """A statement stands where it has no meaning.

    Wrong:

        relu
        input mask: [N, 1, H, W]
    """
    return _simple(f"{what} cannot stand here", span, where)


@error("E0226")
def bad_input(span: Span, reason: str, hint: str = "") -> Diagnostic:
    """An input declaration, or the input size that was asked for, does not fit: `[N, 3, H=224, W=224]` has a batch,
    a number of channels, and two sizes with their defaults.

    Wrong:

        net example:
            input image: [N, 3, H, W]
            relu
    """
    return _simple(reason, span, "", *([Help(hint)] if hint else []))


@error("E0227", "asked", "question")
def unknown_parameter(span: Span, net: str, name: str, signature: str, candidates: Iterable[str]) -> Diagnostic:
    """A net is given a parameter that it does not declare.

    Wrong:

        $ archdsl check lenet5 --set clases=10
    """
    candidates = set(candidates)
    here = elsewhere.renamed(name, candidates)
    close = [Help(f"here it is `{here}`")] if here else []
    if not close and name in elsewhere.OF_PYTHON:
        close = [Help(elsewhere.OF_PYTHON[name])]
    close = close or [Help(h.text) for h in _did_you_mean(span, name, candidates)]
    return _simple(f"`{net}` has no parameter `{name}`", span, "", Note(f"`{net}({signature})`"), *close)


@error("E0228")
def duplicate_definition(span: Span, name: str, first: Span) -> Diagnostic:
    """Two definitions of one file have the same name.

    Wrong:

        block a:
            relu

        block a:
            silu
    """
    return _simple(f"`{name}` is defined twice", span, "defined again here", Label(first, "first defined here"))


@error("E0229", "asked")
def bad_output(span: Span, name: str, reason: str, candidates: Iterable[str]) -> Diagnostic:
    """A result that was asked for by name, with `outputs=` or `--outputs`, is no labelled step of the net.

    Wrong:

        $ archdsl check lenet5 --outputs conv9
    """
    have = list(dict.fromkeys(candidates))
    return _simple(
        f"the net cannot return `{name}`",
        span,
        reason,
        *([Note("it has " + ", ".join(f"`{c}`" for c in have[:12]))] if have else []),
        *[Help(h.text) for h in _did_you_mean(span, name, have)],
    )


@error("E0230")
def x_is_bound(span: Span) -> Diagnostic:
    """`x` is the tensor that reaches a step: every step gives it a new meaning, so no line has to bind it.

    Wrong:

        x = conv(8, 3)
    """
    write = Help("write the step alone; `skip = x` keeps a tensor under a name")
    return _simple("`x` is the tensor that reaches a step, and cannot be bound", span, "leave it out", write)


@error("E0231")
def list_of_branches(span: Span, combinator: str, literal: bool) -> Diagnostic:
    """A combinator is given a list and nothing else. A list in it is one branch, a sequence, as everywhere.

    `cat(a, b)` has two branches, `cat(*ys)` as many as the list `ys` has items, and `cat(*ys, identity)` one more.

    Wrong:

        cat([conv(8, 1), conv(8, 3)])
    """
    written = span.text
    mended = written[1:-1].strip() if literal else f"*{written}"
    way = "the branches stand alone" if literal else "`*` makes each item of a list a branch"
    edit = Help(f"{way}: `{combinator}({' '.join(mended.split())})`", span, mended, sure=False)
    return _simple(f"`{combinator}` is given one list, which is one branch", span, "a sequence", edit)


@error("E0232")
def tensor_in_a_sequence(span: Span) -> Diagnostic:
    """A list that is used as a sequence holds a tensor, which would drop whatever comes before it.

    To join the tensors of a list, make each a branch: `cat(*ys)`. A chain may start at a tensor: `skip -> conv(8, 3)`.

    Wrong:

        skip = x
        [conv(8, 3), skip]
    """
    ways = Help("`cat(*ys)` and `add(*ys)` join the tensors of a list; a chain starts at one: `skip -> relu`")
    return _simple("a tensor stands in a sequence of steps", span, "this is a tensor, and no step", ways)


@error("E0233")
def starts_with_input(channels: Span, window: Span, step: Span, operator: str) -> Diagnostic:
    """A convolution is given the channels of its input first, as PyTorch has it, so that its window is huge.

    Here the input is known: `conv(16, 3)` makes 16 channels with a window of 3x3. Where the window is meant, name it:
    `conv(3, kernel=16, stride=3)`.

    Wrong:

        conv(3, 16, 3)
    """
    title = f"`{operator}` does not start with the channels of its input"
    out, kernel = " ".join(window.text.split()), " ".join(step.text.split())
    edit = Help(
        f"they are known, `{operator}({out}, {kernel})` is enough", channels.replace(end=window.start), "", sure=False
    )
    meant = Help(f"where a window of {out} is meant, name it: `kernel={out}`")
    more = Label(channels, "the channels of the input, taken for those of the result")
    return _simple(title, window, "taken for the window", more, edit, meant)


@error("E0235")
def training_alone(span: Span, name: str, made: Span) -> Diagnostic:
    """A result that a block or a net has in training alone is read where evaluation needs it, too.

    What is made of it is itself `output … when training`, or the block returns it without `when training`.

    Wrong:

        block b:
            output main = x -> relu
            output aux = x -> conv(3, 1) when training

        net n:
            input image: [N, 3, H=8, W=8]
            r = x -> b
            add(r.main, r.aux)
    """
    why = "and this runs in evaluation, too"
    return _simple(f"`{name}` is there in training alone", span, why, Note("it is made here", made))


@error("E0234", "asked")
def no_output_stride(span: Span, stride: int, reason: str) -> Diagnostic:
    """A network has no form with the output stride that was asked for: a step cannot work on finer maps.

    Strides and dilations of convolutions and maxima are changed; a mean over a window has no dilated form, and a
    reshaping or an upsampling by a factor wants the map that it was written for.

    Wrong:

        $ archdsl check googlenet --output-stride 8
    """
    return _simple(f"the net has no form of output stride {stride}", span, reason)


# -------------------------------------------------------------------------------------------------- E03: shapes
@error("E0301", "size", "shape")
def shape_fault(
    span: Span, title: str, label: str, labels: Sequence[Label], notes: Sequence[Note], help: Sequence[Help]
) -> Diagnostic:
    """An operator cannot be applied to the tensors that reach it: the sizes do not fit.

    The labels show what arrives, the notes from which block it was called, and with which arguments.

    Wrong:

        conv(8, 3, groups=2)
    """
    return _simple(title, span, label, *labels, *notes, *help)


@error("E0302", "size", "shape")
def shapes_differ(
    span: Span, title: str, label: str, labels: Sequence[Label], notes: Sequence[Note], help: Sequence[Help]
) -> Diagnostic:
    """The operands of `add`, `mul` or `cat` have sizes that do not agree.

    Wrong:

        add(conv(8, 3), identity)
    """
    return _simple(title, span, label, *labels, *notes, *help)


@error("E0303", "shape")
def signature_broken(span: Span, block: str, expected: str, got: str, axes: str, notes: Sequence[Note]) -> Diagnostic:
    """A block declares the shape of its result, and its body gives another.

    The signature is checked as a formula: it must hold for every input size, not only for the default one.

    Wrong:

        block half(c) [N, C, H, W] -> [N, c, H / 2, W / 2]:
            conv(c, 3, stride=2)

        net example:
            input image: [N, 3, H=32, W=32]
            half(8)
    """
    return _simple(
        f"`{block}` does not return what its signature says",
        span,
        "declared here",
        Note(f"declared  {expected}\nreturned  {got}\n{axes}"),
        *notes,
    )


@error("E0304", "shape")
def size_limits(span: Span, reason: str, notes: Sequence[Note]) -> Diagnostic:
    """A size cannot be expressed exactly as a function of one input size.

    Wrong:

        maxpool(2, 32768)
    """
    return _simple(reason, span, "", *notes)


@error("E0305", "shape")
def shared_weights(span: Span, name: str, first: Span) -> Diagnostic:
    """One labelled step is used on two inputs, so it is one module, but the inputs need different ones.

    Wrong:

        shared = stem: conv(8, 3)
        shared -> shared
    """
    return _simple(
        f"`{name}` cannot share its weights here",
        span,
        "this input needs a module of another shape",
        Label(first, "first used here"),
        Help("use an unlabelled step to get a copy with its own weights"),
    )


@error("E0306", "shape")
def shared_steps(span: Span, name: str, first: Span) -> Diagnostic:
    """One labelled step is used twice, so it is one module, but its text asks what `x` is and means two things.

    Wrong:

        act = once: relu if x.channels == 3 else tanh
        act -> conv(8, 3) -> act
    """
    return _simple(
        f"`{name}` cannot be the same module here",
        span,
        "for this input its text says other steps",
        Label(first, "first used here"),
        Help("use an unlabelled step to get a copy with its own steps"),
    )


@error("E0307", "shape")
def positions(span: Span) -> Diagnostic:
    """The positions of maxima are whole numbers, which PyTorch cannot convolve, norm or add: `maxunpool` takes them.

    Wrong:

        pooled = x -> maxpool(2, indices=true)
        pooled.indices -> conv(8, 3)
    """
    return _simple(
        "positions of maxima are no map",
        span,
        "they reach this step",
        Note("only `maxunpool` takes them, and a block as an argument"),
    )


@error("E0308", "shape")
def size_of_no_tensor(span: Span, callee: str, size: str, notes: Sequence[Note]) -> Diagnostic:
    """An argument is a size that follows from that of no tensor here, so code could not know it.

    The definition in which the operator stands needs a tensor that the size can be worked out from. Give it to the
    block as a parameter, and write the size where it is used: `target.height`.

    Wrong:

        block up(size):
            upsample(size=size)

        net bad:
            input image: [N, 3, H=64, W=64]
            conv(8, 3, stride=2) -> up(image.height)
    """
    return _simple(
        f"`{callee}` cannot know the size {size}",
        span,
        "no tensor of this definition has it",
        *notes,
        Help("give the block the tensor itself, and take its size where it is needed: `target.height`"),
    )


# -------------------------------------------------------------------------------------------------- E04: sweeps
def place_of(name: str) -> Span:
    """Return a place for a diagnostic about a whole file."""
    return Span(Source(name, ""), 0, 0)


@error("E0401", "asked")
def empty_grid(option: str, text: str, reason: str) -> Diagnostic:
    """A sweep or a search has nothing to try: a parameter without values, or a sample of none.

    Wrong:

        $ archdsl sweep lenet5 --set classes=1..10
    """
    return _simple(f"nothing to try: {reason}", Span(Source(option, text), 0, len(text)), "no value here")


@error("E0402")
def nothing_legal(place: Span, count: int, first: str) -> Diagnostic:
    """Every setting of a sweep or a search is illegal: the network cannot be built with any of them.

    Wrong:

        $ archdsl search lenet5 --set classes=-1,-2 --budget "params <= 1M"
    """
    return _simple(f"none of the {count} settings is legal", place, "", Note(f"the first one: {first}"))


@error("E0403")
def unmet_budget(budget: str, tried: int, limits: Sequence[str], settings: str) -> Diagnostic:
    """No setting of a search meets its budget. The note shows the one that misses it by the least factor.

    Wrong:

        $ archdsl search lenet5 --set classes=10,20 --budget "params <= 1k"
    """
    place = Span(Source("--budget", budget), 0, len(budget))
    notes = [Note("\n".join([f"closest: {settings}", *limits]))]
    return _simple(f"none of {tried:,} settings meets the budget", place, "", *notes)


@error("E0404", "asked")
def bad_expression(option: str, text: str, reason: str, names: Sequence[str]) -> Diagnostic:
    """A budget or a goal cannot be read: `macs <= 400M, memory <= 60MB`, or any arithmetic over figures and
    parameters.

    Wrong:

        $ archdsl search lenet5 --set classes=10,20 --budget "parms <= 1M"
    """
    return _simple(
        f"`{option}` cannot be read: {reason}",
        Span(Source(option, text), 0, len(text)),
        "",
        Note("it may use " + ", ".join(f"`{name}`" for name in names)),
    )


@error("E0405", "asked")
def other_search(path: str) -> Diagnostic:
    """A state file belongs to a search with other settings, so it cannot be continued with these.

    Wrong:

        $ archdsl search lenet5 --set classes=10,20 --budget "params <= 1M" --state lenet5.arch
    """
    place = Span(Source(path, ""), 0, 0)
    return _simple(f"`{path}` is the state of another search", place, "", Help("name another file, or remove this one"))


@error("E0406", "asked")
def missing_extra(package: str, extra: str, what: str) -> Diagnostic:
    """A command or a function needs a package that is not installed.

    `pip install archdsl` brings what checking, costing and compiling need; `archdsl[torch]` brings what `load` and
    `optimize` need, `archdsl[plot]` what plots, `archdsl[draw]` what makes PDF and PNG of drawings, `archdsl[deploy]`
    ONNX and the engines of others, `archdsl[search]` what picks the settings of a search, `archdsl[train]` what trains.

    Wrong:

        $ archdsl sweep lenet5 --set classes=10,20 --figures params,macs --plot sweep.svg
    """
    place = Span(Source(package, ""), 0, 0)
    wanted = f'"archdsl[{extra}]"' if extra else package
    return _simple(f"{what} needs {package}, which is not installed", place, "", Help(f"`pip install {wanted}`"))


# -------------------------------------------------------------------------------------------------- W05: advice
@advice("W0501", "unused")
def unused(span: Span, title: str) -> Diagnostic:
    """An import, a parameter, a name that is bound, or an input of a net is mentioned nowhere.

    Often the name that should stand somewhere else: a width that is written as a number after all.

    Wrong:

        width = 8
        conv(16, 3)
    """
    return _simple(title, span, "nothing mentions it", Help("use it, or leave it out"))


@advice("W0502")
def constant_condition(span: Span, value: bool) -> Diagnostic:
    """A condition is decided by the text alone: one arm of it can never be taken, or it changes nothing.

    Wrong:

        if 1 > 2:
            relu
    """
    label = "it can be left out, with any `else`" if value else "what it guards is never built"
    return _simple(f"this condition is always {str(value).lower()}", span, label)


@advice("W0503")
def bias_before_norm(span: Span, operator: str, norm: Span) -> Diagnostic:
    """A bias is added right before a norm that subtracts the mean of each channel: it has no effect, and is trained,
    stored and added all the same (Ioffe & Szegedy 2015, section 3.2).

    `default conv(bias=false)` at the top of a file says so for all its convolutions. Published weights may have the
    bias, and then a text that loads them needs it: `# allow W0503` on the line, or above it, says so.

    Wrong:

        conv(8, 3) -> bn
    """
    edit = []
    text = span.text
    if "bias=true" in text:
        edit = [Help("leave the bias out", span, text.replace("bias=true", "bias=false"))]
    elif text.endswith(")") and text.startswith(f"{operator}(") and "bias=" not in text and "\n" not in text:
        edit = [Help("leave the bias out", span, f"{text[:-1]}, bias=false)")]
    return _simple(
        f"the bias of this `{operator}` has no effect",
        span,
        "adds a constant to each channel",
        Label(norm, "subtracts the mean of each channel"),
        *edit,
    )


@advice("W0504")
def skipped_pixels(span: Span, read: int, of: int, others: Sequence[Span]) -> Diagnostic:
    """A window steps further than it reaches, and nothing else reads what it steps over: the pixels between are
    computed and thrown away.

    A projection `conv(c, 1, stride=2)` beside a branch that reads every pixel is no such case.

    Wrong:

        conv(8, 1, stride=2)
    """
    more = [Label(other, "reads the same ones") for other in others[:3] if other.source is span.source]
    title = f"only {read} of {of} pixels are read here"
    return _simple(title, span, "the stride is larger than the window", *more, Help("let the window cover its stride"))


@advice("W0505", "unused result")
def unused_result(span: Span, where: str = "", reached: Sequence[Span] = ()) -> Diagnostic:
    """A step computes what no result of the network depends on. Its weights are never trained.

    Wrong:

        output features = x -> relu
        conv(8, 3)
    """
    unread = [Label(place, "it reaches this step, which does not read its `x`") for place in reached]
    return _simple(f"{where}nothing uses the result of this step", span, "no output depends on it", *unread)


@advice("W0506")
def untaken_output(span: Span, block: str, name: str) -> Diagnostic:
    """A block has an output that nothing takes, in any of the networks of the file: `y = b` and then `y.aux` does.

    Wrong:

        block b:
            output main = x -> relu
            output extra = x -> conv(8, 3)

        net example:
            input image: [N, 3, H=32, W=32]
            b
    """
    return _simple(f"nothing takes the output `{name}` of `{block}`", span, f"no `.{name}` reads it")


@advice("W0507", "once")
def odd_groups(span: Span, channels: int, depthwise: bool, vector: int) -> Diagnostic:
    """The channels of a group, or of a depthwise convolution, are no whole vectors of 16 bytes, so that 16-bit values
    are loaded in smaller pieces: up to 8 times as many loads, for the same bytes.

    Wrong:

        conv(12, 3) -> depthwise(3)
    """
    near = channels - channels % vector, channels + vector - channels % vector
    count = f"{channels} channels" if depthwise else f"{channels} channels in a group"
    return _simple(
        f"{count}, not a multiple of {vector}",
        span,
        "16-bit values are loaded in pieces of less than 16 bytes",
        Help(f"the nearest multiples are {near[0]} and {near[1]}" if near[0] else f"{near[1]} would be whole vectors"),
    )


@advice("W0508")
def repeated_condition(span: Span, first: Span) -> Diagnostic:
    """A condition stands a second time in one `if`: its arm is never taken, since the first one was.

    Wrong:

        if x.channels == 3:
            relu
        elif x.channels == 3:
            silu
    """
    return _simple("this arm is never taken", span, "the same condition again", Label(first, "taken here"))


@advice("W0509")
def huge_window(span: Span, height: int, width: int) -> Diagnostic:
    """A convolution has a window far larger than those of published networks: its values are `out, kernel, stride`.

    Wrong:

        conv(8, 63)
    """
    return _simple(f"a window of {height}x{width}", span, "its values are `out, kernel, stride`")


@advice("W0510")
def lonely_branch(span: Span, combinator: str) -> Diagnostic:
    """A combinator has no second branch, so it combines nothing. Every branch is a value in its parentheses, or a line
    under it; the tensor itself is the branch `identity`.

    Wrong:

        add(conv(3, 3) -> relu)
    """
    return _simple(f"this `{combinator}` combines nothing", span, "one branch", Help("`identity` is the input itself"))


@advice("W0511")
def applied_again(span: Span, name: str, uses: int) -> Diagnostic:
    """A name stands for a block that was given a tensor and is applied several times, each with weights of its own.

    `y = cell(skip, 8)` is a pipeline, which waits for the tensor that reaches it. `y = x -> cell(skip, 8)` is a tensor,
    computed once. A label shares the weights: `y = twin: cell(skip, 8)`.

    Wrong:

        block cell(skip, c):
            add(conv(c, 1), skip)

        net example:
            input image: [N, 8, H=32, W=32]
            skip = x
            y = cell(skip, 8)
            add(y, relu -> y)
    """
    ways = Help(f"`{name} = x -> ...` computes it once; `{name} = label: ...` shares its weights")
    return _simple(f"`{name}` is applied {uses} times, with weights of its own each time", span, "a pipeline", ways)


@advice("W0512")
def like_itself(span: Span, operator: str) -> Diagnostic:
    """A step takes `like=x`, and `x` is the tensor that reaches it, whose size it has: nothing changes.

    In a chain every step gives `x` a new meaning. A name that is bound before the chain keeps it.

    Wrong:

        conv(8, 3, stride=2) -> upsample(like=x)
    """
    return _simple(f"`{operator}` takes the size that it has", span, "`x` is what reaches this step", Help(LIKE_BEFORE))
