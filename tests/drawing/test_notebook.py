"""A notebook shows networks, reports and sweeps as pictures and tables, and takes a text as a cell."""

from __future__ import annotations

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

TINY = "net tiny(classes=2):\n    input image: [N, 3, H=32, W=32]\n    conv(16, 3) -> relu\n    global_avgpool -> flatten -> linear(classes)\n"
CELLS = [
    "import archdsl\n%load_ext archdsl",
    'archdsl.draw("lenet5")',
    'archdsl.check("lenet5")',
    'archdsl.sweep("mobilenet_v1", width=[1, 0.5])',
    "%%arch text classes=7\n" + TINY,
    "len(archdsl.check.__doc__) > 0 and text.startswith('net tiny')",
    "%%arch\n" + TINY.replace("relu", "reluu").replace("linear", "linearr"),
    "%%arch\nnet tiny:\n    conv(3,,\n",
]


@pytest.fixture(scope="module")
def outputs():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return [
        [dict(output.get("data", {"text/plain": output.get("text", "")})) for output in cell.outputs]
        for cell in notebook.cells
    ]


def test_a_drawing_shows_itself(outputs):
    assert outputs[1][0]["image/svg+xml"].startswith("<svg")


def test_a_report_and_a_sweep_are_tables(outputs):
    report, sweep = outputs[2][0]["text/html"], outputs[3][0]["text/html"]
    assert ">parameters</th>" in report and "conv(6, 5" in report and "61,706 parameters" in report
    assert ">4,231,976</td>" in sweep and sweep.count("<tr>") == 3


def test_a_cell_is_a_text(outputs):
    picture, table = outputs[4]
    assert "linear, 7" in picture["image/svg+xml"] and "linear(7)" in table["text/html"]
    assert outputs[5][0]["text/plain"] == "True", "the text has its name"


def test_mistakes_of_a_cell_are_drawn_as_check_draws_them(outputs):
    said = outputs[6][0]["text/plain"]
    assert "reluu" in said and "linearr" in said and "^^^" in said
    assert "E01" in outputs[7][0]["text/plain"]
