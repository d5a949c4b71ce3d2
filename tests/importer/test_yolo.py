"""Ultralytics' YAML: what it means, held to the package itself where it is installed, and files that are none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from archdsl.cli.main import main
from archdsl.importer import NoSource, imported, opened
from archdsl.importer.files.parts import Malformed
from archdsl.importer.files.yolo import Yolo, yolo

pytestmark = pytest.mark.usefixtures("one_thread")
FILES = Path(__file__).parent / "yolo"
ROW = [-1, 1, "Conv", [16, 3, 2]]


@pytest.mark.parametrize("name", ["classes8n.yaml", "classes8s.yaml", "boxes8.yaml"])
def test_a_text_of_it(name):
    found = imported(str(FILES / name), shape=(1, 3, 32, 32))
    model = opened(str(FILES / name)).model
    assert sorted(found.verified.keys) == sorted(model.state_dict())
    if name == "boxes8.yaml":
        shapes = [tuple(one.shape) for one in model.eval()(torch.zeros(1, 3, 64, 64))]
        assert shapes == [(1, 68, 32, 32), (1, 68, 16, 16)] and found.text.count("output out") == 2


def test_a_scale_is_read_from_the_name():
    small, large = (yolo(str(FILES / f"classes8{letter}.yaml")) for letter in "ns")
    assert (
        small.scale.letter == "n"
        and large.scale.letter == "s"
        and yolo(str(FILES / "classes8.yaml")).scale == small.scale
    )
    # By hand: 8 channels are half of 16; of 3 repetitions a third is 1 and two thirds are 2, of 6 they are 2 and 4.
    assert small.model[0].conv.out_channels == 8 and large.model[0].conv.out_channels == 16
    assert [len(small.model[1].m), len(large.model[1].m)] == [1, 2]
    assert [len(small.model[3].m), len(large.model[3].m)] == [2, 4]
    assert small.model[0].act.negative_slope == 0.1


@pytest.mark.skipif(importlib.util.find_spec("ultralytics") is None, reason="ultralytics is not installed")
@pytest.mark.parametrize("name", ["classes8n.yaml", "classes8s.yaml", "boxes8.yaml"])
def test_it_is_what_ultralytics_makes_of_it(name):
    from ultralytics.nn.tasks import ClassificationModel, DetectionModel

    mine = yolo(str(FILES / name)).eval()
    kind = ClassificationModel if name.startswith("classes") else DetectionModel
    config = {**_loaded(name), "scale": mine.scale.letter} if mine.scale.letter else _loaded(name)
    theirs = kind(config, verbose=False).eval()
    state = {name: value for name, value in theirs.state_dict().items() if ".dfl." not in name}
    mine.load_state_dict(state)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        if name.startswith("classes"):
            wanted = theirs(x)
            assert torch.equal(wanted[-1] if isinstance(wanted, tuple) else wanted, mine(x))
            return
        theirs.model[-1].training = True
        wanted, made = theirs(x), mine(x)
    assert torch.equal(wanted["boxes"], torch.cat([one[:, :64].flatten(2) for one in made], 2))
    assert torch.equal(wanted["scores"], torch.cat([one[:, 64:].flatten(2) for one in made], 2))


def _loaded(name):
    import yaml

    return yaml.safe_load((FILES / name.replace("8n", "8").replace("8s", "8")).read_text())


# -------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "it has no `backbone`"),
        ([], "it has no `backbone`"),
        ({"backbone": []}, "it has 0 rows"),
        ({"backbone": [[-1, 1, "Conv"]]}, "row 0: [-1, 1, 'Conv'] is not [from"),
        ({"backbone": [["x", 1, "Conv", [8]]]}, "row 0: it reads x, and no rows"),
        ({"backbone": [[-1, 10**9, "Conv", [8]]]}, "row 0: 1000000000 repetitions"),
        ({"backbone": [[-1, 1, "Conv", [10**9]]]}, "row 0: [1000000000] are no numbers and words"),
        ({"backbone": [[-1, 1, "Conv", [{"a": 1}]]]}, "are no numbers and words"),
        ({"backbone": [[5, 1, "Conv", [8]]]}, "row 0, Conv: 5 is no row before this one"),
        ({"backbone": [ROW, [-3, 1, "Conv", [8]]]}, "row 1, Conv: -3 is no row before this one"),
        ({"backbone": [[-1, 1, "os.system", ["true"]]]}, "row 0, os.system: this module is not known here"),
        ({"backbone": [[-1, 1, "Conv", []]]}, "row 0, Conv: "),
        ({"backbone": [[-1, 1, "Conv", ["nc; import os"]]]}, "row 0, Conv: "),
        ({"backbone": [ROW], "activation": "__import__('os').system('true')"}, "is not known here"),
        ({"backbone": [ROW], "nc": "many"}, "`nc: many` is no number"),
        ({"backbone": [ROW], "scales": {"n": "large"}}, "the scale `n` is not"),
    ],
)
def test_a_malformed_file(found, said):
    with pytest.raises(Malformed) as wrong:
        Yolo(found)
    assert said in str(wrong.value)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.mkdir [evil]", "a: [", "[" * 3000, "\x00", "backbone: *a"])
def test_no_yaml(tmp_path, monkeypatch, capsys, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(text)
    assert main(["import", "net.yaml", "-o", "net.arch"]) == 2
    assert "is no network that is read" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["net.yaml"]


def test_a_file_that_is_not_there():
    with pytest.raises(NoSource, match="cannot be read"):
        opened("nowhere.yaml")
