"""The screenshots of the documents: `make screenshots` takes them, with what npm brings and the machine's chromium."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from tests.editors.vscode import Code, built, running  # noqa: E402

PICTURES = HERE / "pictures"
SIZE = {"width": 1500, "height": 800}
SMALL = '''"""A residual network for small images."""

default conv(bias=false)

block residual(channels, stride=1) [N, C, H, W]
  -> [N, channels, ceil(H / stride), ceil(W / stride)]:
    add:
        conv1: conv(channels, 3, stride) -> bn1: bn -> relu -> conv2: conv(channels, 3) -> bn2: bn
        project: [conv(channels, 1, stride), bn] if stride > 1 or x.channels != channels
    relu

net small(classes=10, depths=[2, 2, 2], act=relu):
    input image: [N, 3, H=32, W=32]
    stem: [conv(16, 3), bn, act]
    for i, depth in enumerate(depths):
        width = 16 * 2**i
        stage{i+1}: [residual(width, stride=2 if i > 0 else 1), residual(width) * (depth - 1)]
    global_avgpool -> flatten -> head: linear(classes)
'''


def vscode(code: Code) -> None:
    """Show a mistake with what is said of it, the shapes of the last text without one, and the outline."""
    code.page.set_viewport_size(SIZE)
    code.open("small.arch")
    code.page.locator(".pane-header", has_text="Outline").click()
    code.shows("    stem: [conv(16, 3), bn, act] [N, 16, H, W]")
    code.at(14, 29)
    code.page.keyboard.type("m")
    code.page.wait_for_selector(".squiggly-error")
    code.press("Escape")
    code.command("View: Toggle Problems")
    code.page.wait_for_selector(".markers-panel :text('did you mean `act`?')")
    code.page.wait_for_timeout(1000)  # what is unfolding has unfolded


def main() -> None:
    """Take them all."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "nets").mkdir()
        (folder / "nets" / "small.arch").write_text(SMALL, encoding="utf-8")
        with running(built(folder / "vscode"), folder / "nets", folder / "server") as code:
            vscode(code)
            _keep(code.page, folder / "taken.png", PICTURES / "vscode.png")


def _keep(page, taken: Path, path: Path) -> None:
    """Keep what a page shows, in the few colours that it has."""
    page.screenshot(path=taken)
    Image.open(taken).convert("RGB").quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
