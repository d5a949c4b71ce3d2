"""What `archdsl.draw` returns: a drawing that notebooks show and that is saved in four forms."""

from __future__ import annotations

import os
from base64 import b64encode
from html import escape

from archdsl.core.record import Record
from archdsl.diagnostics import errors
from archdsl.drawing.building import picture
from archdsl.drawing.measures import MEASURES
from archdsl.drawing.page import Page, page
from archdsl.drawing.svg import svg
from archdsl.drawing.themes import DARK, LIGHT, THEMES
from archdsl.project import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.ir.network import Network

FORMS = (".svg", ".html", ".pdf", ".png")


class Drawing(Record):
    """A network, or the difference of two, on one page.

    >>> import archdsl
    >>> drawing = archdsl.draw("lenet5")
    >>> drawing.svg().startswith("<svg")
    True
    """

    page: Page
    theme: str = "auto"

    def svg(self, theme: str = "") -> str:
        """Return the drawing as SVG, in a theme of its own."""
        return svg(self.page, theme or self.theme)

    def html(self) -> str:
        """Return a page of HTML that holds the drawing and nothing else."""
        colours = f"body{{margin:0;background:{(DARK if self.theme == 'dark' else LIGHT)['page']}}}"
        if self.theme == "auto":
            colours += f"@media (prefers-color-scheme:dark){{body{{background:{DARK['page']}}}}}"
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(self.page.title)}</title>'
            f"<style>{colours}svg{{max-width:100%;height:auto;display:block;margin:auto}}</style></head>\n"
            f"<body>\n{self.svg()}</body></html>\n"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing to a file whose name ends in `.svg`, `.html`, `.pdf` or `.png`; raises `CompileError`."""
        name = os.fspath(path)
        form = os.path.splitext(name)[1].lower()
        write(name, self.as_bytes(form, name))

    def as_bytes(self, form: str, name: str) -> bytes:
        """Return the contents of a file of this form."""
        if form == ".svg":
            return self.svg().encode()
        if form == ".html":
            return self.html().encode()
        if form not in FORMS:
            raise errors.bad_option("-o", name, f"the name ends in one of {', '.join(FORMS)}")
        from archdsl.drawing.export import converted

        return converted(self.svg("light" if self.theme == "auto" else self.theme), form[1:])

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:  # an image, so that the style of one drawing is not that of the page around it
        data = b64encode(self.svg().encode()).decode()
        return f'<img style="max-width:100%" alt="{escape(self.page.title)}" src="data:image/svg+xml;base64,{data}">'


def drawn(network: Network, by: str = "macs", depth: int | None = None, theme: str = "auto") -> Drawing:
    """Return a checked network as a drawing."""
    if by not in MEASURES:
        raise errors.bad_option("by", by, f"it is one of {', '.join(MEASURES)}")
    if theme not in THEMES:
        raise errors.bad_option("theme", theme, f"it is one of {', '.join(THEMES)}")
    return Drawing(page(picture(network, by, depth)), theme)
