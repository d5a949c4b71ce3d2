"""How wide a text is drawn, in hundredths of its size.

The widths are those of DejaVu Sans, the widest of the fonts that a drawing asks for, so that a text fits its box in
each of them: Helvetica and Arial are 12 % narrower.
"""

from __future__ import annotations

from functools import lru_cache

_BY_WIDTH = {
    28: "'ijl", 30: "IJ", 32: " ,.·", 34: "/:;\\|", 36: "f", 37: "-", 40: "()[]t", 41: "!²³", 42: "r", 46: '"',
    50: "*_`–", 53: "sz", 54: "?", 55: "c", 56: "L", 58: "Fk", 60: "vxy", 61: "P", 62: "TYaeo",
    64: "$0123456789ESbdghnpqu{}µ", 66: "K", 69: "ABVXZ", 70: "CR", 74: "U", 75: "N", 76: "H", 77: "D", 78: "&G",
    79: "OQ", 82: "w", 84: "#+<=>^~×→−≤≥↓", 87: "M", 96: "%", 98: "m", 99: "W",
}  # fmt: skip
WIDTHS = {character: width for width, characters in _BY_WIDTH.items() for character in characters}
WIDEST = 100
BOLD = 1.14  # bold letters are 9 to 25 % wider, texts of them 12 %


@lru_cache(1 << 14)  # most texts of a drawing are in others, too: a fifth of the time
def width_of(text: str, size: float, bold: bool = False) -> float:
    """Return the width of a text in pixels, at a font size in pixels.

    >>> round(width_of("3×3 conv, 64", 12), 1)
    86.2
    """
    hundredths = sum([WIDTHS.get(character, WIDEST) for character in text])
    return hundredths * size / 100 * (BOLD if bold else 1)


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, with dots for what is left out."""
    return text if len(text) <= most else text[: most - 1].rstrip(" ,(") + "…"
