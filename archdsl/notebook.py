"""The cell magic `%%arch`, which `%load_ext archdsl` brings: a cell is a text of the language, shown as it is saved.

    %%arch tiny classes=10
    net tiny(classes=2):
        input image: [N, 3, H=32, W=32]
        conv(16, 3) -> relu -> global_avgpool -> flatten -> linear(classes)

shows the net as a picture and a table, or its mistakes, and binds the text to the name `tiny`, for `archdsl.loads`.
"""

from __future__ import annotations

from archdsl import project
from archdsl.cli.options import settings_of
from archdsl.compiler import Compiled, Request
from archdsl.diagnose.survey import each
from archdsl.diagnostics import CompileError, render
from archdsl.drawing.drawing import drawn
from archdsl.report.check import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load_ipython_extension(ipython: Any) -> None:
    """Register the magic; IPython calls this for `%load_ext archdsl`."""

    def arch(line: str, cell: str) -> None:
        from IPython.display import display

        name, request = asked(line)
        if name:
            ipython.user_ns[name] = cell
        for shown in found(cell, request):
            display(shown) if not isinstance(shown, str) else print(shown)

    ipython.register_magic_function(arch, "cell")


def asked(line: str) -> tuple[str, Request]:
    """Read what stands after `%%arch`: a name for the text, and settings of parameters; `net=` chooses the net.

    >>> asked("tiny growth=24")
    ('tiny', Request(net=None, params={'growth': '24'}, sizes=(), in_channels=None, outputs=(), output_stride=None))
    """
    words = line.split()
    name = words.pop(0) if words and "=" not in words[0] else ""
    settings = settings_of(words)
    net = settings.pop("net", None)
    return name, Request(net, settings)


def found(text: str, request: Request) -> list[object]:
    """Return what is shown of a text: the picture and the figures of a net, or mistakes as text."""
    try:
        file = project.Project().text(text)
    except CompileError as mistake:
        return [render.text(mistake.diagnostic)]
    checked = list(each("", file, [request.net], request))
    wrong = [render.text(mistake) for mistake in checked if not isinstance(mistake, Compiled)]
    right = [one.network for one in checked if isinstance(one, Compiled)]
    return [*wrong, *[shown for network in right for shown in (drawn(network), report(network))]]
