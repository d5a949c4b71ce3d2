"""The page on Python: it has every public name, and what it shows is what happens; results in a REPL and a notebook."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pytest

import archdsl

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
RESULTS = {
    "check": lambda: archdsl.check("resnet18", outputs=["layer2", "layer4"]),
    "cost": lambda: archdsl.cost("lenet5", optimizer="sgd"),
    "diff": lambda: archdsl.diff("vgg11", "vgg13"),
    "search": lambda: archdsl.search("mobilenet_v1", budget="macs <= 200M", width=[0.5, 1]),
    "sweep": lambda: archdsl.sweep("mobilenet_v1", width=[1, 0.5, -1]),
}


def test_every_public_name_has_its_heading():
    headings = "\n".join(re.findall(r"^### .*", PAGE, re.MULTILINE))
    assert set(re.findall(r"`archdsl\.(\w+)`", headings)) == set(archdsl.__all__)


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where it saves a network
    blocks = re.findall(r"```pycon\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) > 15
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "python.md", "docs/python.md", 0)
    said: list[str] = []
    failed, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert not failed and tried > 40, "".join(said)


@pytest.mark.parametrize(
    "module", ["archdsl.api", "archdsl.explore.sweep", "archdsl.explore.search", "archdsl.run.origin"]
)
def test_the_docstrings_run(module):
    found = doctest.testmod(import_module(module), extraglobs={"sweep": archdsl.sweep, "search": archdsl.search})
    assert not found.failed and found.attempted


# -------------------------------------------------------------------------------------------------- results
class Cells(HTMLParser):
    """The cells of a table, row by row; every tag that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_a_line_a_table_and_data(name):
    found = RESULTS[name]()
    line, text = repr(found), str(found)
    assert line.startswith("<") and "\n" not in line and len(line) < 160
    assert len(text.splitlines()) >= 2 and text == found.text()
    assert json.loads(json.dumps(found.to_dict())) and json.dumps(found.records())
    frame, records = found.to_pandas(), found.records()
    assert len(frame) == len(records) and list(frame.columns) == list(records[0])
    head, *rows = Cells(found._repr_html_()).rows
    assert rows and all(len(row) == len(head) for row in rows)


def test_html_is_escaped():
    found = archdsl.sweep("lenet5", classes=[2, 3]).replace(network="<script>&")
    assert "&lt;script&gt;&amp;" in found._repr_html_() and "<script>" not in found._repr_html_()


def test_pandas_that_is_missing_is_named():
    code = "import sys; sys.modules['pandas'] = None\nimport archdsl\narchdsl.check('lenet5').to_pandas()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "`to_pandas` needs pandas, which is not installed" in done.stderr
    assert "`pip install pandas`" in done.stderr


def test_a_sweep_is_a_sequence():
    found = archdsl.sweep("mobilenet_v1", width=[1, 0.5, -1])
    assert list(found) == list(found.rows) and len(found) == 2 and found[-1]["width"] == 0.5
    assert len(found.skipped) == 1 and "-1" in str(found)


def test_paths_are_names(tmp_path):
    path = tmp_path / "tiny.arch"
    path.write_text("net tiny(c=4):\n    input i: [N, 3, H=8, W=8]\n    conv(c, 3)\n")
    assert archdsl.check(path).params == archdsl.cost(path).params == 112
    assert archdsl.load(path, c=2)[0].out_channels == 2
    assert "class Tiny" in archdsl.compile(path) and archdsl.legal_sizes(path)
    assert len(archdsl.sweep(path, c=[1, 2])) == 2 and archdsl.search(path, budget="", c=[1, 2]).best["c"] == 2
    assert not archdsl.diff(path, path).changes and archdsl.diff(path, path, params={"c": 3}).changes


def test_an_option_that_is_no_word_of_cost():
    with pytest.raises(ValueError, match="`convention` is one of macs, all"):
        archdsl.cost("lenet5", convention="flops")
    with pytest.raises(ValueError, match="`by` is one of layer, block, kind"):
        archdsl.cost("lenet5", by="row")


# -------------------------------------------------------------------------------------------------- notebooks
def in_a_notebook(code: str) -> str:
    """Return what IPython, which runs the cells of notebooks, prints of an error in a cell."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell()
    with capture_output() as shown:
        result = shell.run_cell(code)
    assert result.error_in_exec is not None
    return shown.stdout + shown.stderr


def test_an_error_in_a_notebook_is_the_diagnostic():
    said = in_a_notebook("import archdsl\n\narchdsl.check('resnet18', norm='bnn')")
    assert said.startswith("line 3: archdsl.check('resnet18', norm='bnn')\n\nerror[E0201]: unknown name `bnn`")
    assert "Traceback" not in said and "compiler.py" not in said and len(said.splitlines()) < 12


def test_a_wrong_input_in_a_notebook_is_one_sentence():
    said = in_a_notebook("import archdsl, torch\nmodel = archdsl.load('lenet5')\nmodel(torch.zeros(1, 3, 32, 32))")
    assert said.splitlines()[2] == "`image` of lenet5 is [N, 1, H, W], and [1, 3, 32, 32] was given"
    assert "Traceback" not in said
