"""A drawing as PDF or PNG, by CairoSVG (the `draw` extra)."""

from __future__ import annotations

from archdsl.diagnostics.extras import Needing

SCALE = 2  # pixels of a PNG for each of the drawing


def converted(svg: str, form: str) -> bytes:
    """Return an SVG in another form, `pdf` or `png`."""
    with Needing(f"a drawing as {form.upper()}"):
        import cairosvg
    if form == "pdf":
        found: bytes = cairosvg.svg2pdf(bytestring=svg.encode())
        return found
    png: bytes = cairosvg.svg2png(bytestring=svg.encode(), scale=SCALE)
    return png
