"""The colours of a drawing, light and dark."""

from __future__ import annotations

THEMES = ("auto", "light", "dark")
FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
HEATS = 8  # steps of the scale that figures are coloured by

LIGHT = {
    "page": "#ffffff", "ink": "#1d2530", "soft": "#5b6675", "line": "#7c8796", "edge": "#b4bdc9", "box": "#ffffff",
    "frame": "#f6f8fa", "head": "#e9edf2", "heat": "#f0a35e", "added": "#2b8a4b", "removed": "#c2362f",
    "changed": "#b07a00",
}  # fmt: skip
DARK = {
    "page": "#14181e", "ink": "#e4e9ef", "soft": "#b0bac7", "line": "#7d8998", "edge": "#465160", "box": "#1d232b",
    "frame": "#191e25", "head": "#252d37", "heat": "#8f5119", "added": "#58c07a", "removed": "#ef7d75",
    "changed": "#e3b341",
}  # fmt: skip
# Hues of panels and of the boxes whose inside they show: dark enough for white letters, and for a dark page.
LETTERS = "#3f6fb5 #2f8f83 #8a5fb0 #b5567a #6b7f2a #a0652c #4d7f99 #7a6a5b #5a5fc0 #3d8a4e #a8483e #71717a".split()


def style(theme: str) -> str:
    """Return the style sheet of a drawing: in one theme, or light with the other for those who prefer dark."""
    rules = _common() + _colours(DARK if theme == "dark" else LIGHT)
    if theme == "auto":
        rules += "@media (prefers-color-scheme:dark){" + _colours(DARK) + "}"
    return rules


def _common() -> str:
    return (
        f"text{{font-family:{FONT};font-size:12px}}"
        ".name,.times,.letter,.head{font-weight:bold}.more,.letter{font-size:11px}"
        ".figure,.shape{font-size:10px}.head{font-size:18px}.w{fill:none;stroke-width:1.2}"
        ".tm{text-anchor:middle}.te{text-anchor:end}.b,.f,.p,.j{stroke-width:1}"
    )


def _colours(theme: dict[str, str]) -> str:
    heats = [
        f".h{at}{{fill:{_mixed(theme['box'], theme['heat'], (at / HEATS) ** 0.8 * 0.9)}}}" for at in range(HEATS + 1)
    ]
    marks = [f".{name}{{stroke:{theme[name]};stroke-width:2.5}}" for name in ("added", "removed", "changed")]
    marks += [".removed{stroke-dasharray:6 3}.changed{stroke-dasharray:2 2}"]
    letters = [f".l{at}{{fill:{colour}}}" for at, colour in enumerate(LETTERS)]
    return (
        f".page{{fill:{theme['page']}}}text{{fill:{theme['ink']}}}.more,.figure,.shape{{fill:{theme['soft']}}}"
        f".w{{stroke:{theme['line']}}}.a{{fill:{theme['line']}}}.b,.f,.p,.j{{stroke:{theme['edge']}}}"
        f".b{{fill:{theme['box']}}}.f,.p{{fill:{theme['frame']}}}.d{{fill:{theme['head']}}}.j{{fill:{theme['box']}}}"
        f".e{{fill:{theme['head']};stroke:{theme['edge']}}}.letter{{fill:#ffffff}}" + "".join(heats + marks + letters)
    )


def _mixed(one: str, other: str, share: float) -> str:
    parts = [(int(one[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join([f"{round(a + (b - a) * share):02x}" for a, b in parts])
