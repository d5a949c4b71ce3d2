"""Drawings of the gallery: nothing lies upon another, figures add up, and nets look as in their papers."""

from __future__ import annotations

import builtins
import math
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import archdsl
from archdsl import project
from archdsl.compiler import Request, compile_text, compiled, nets_of
from archdsl.diagnostics import CompileError
from archdsl.drawing.boxes import Box, Graph
from archdsl.drawing.building import picture
from archdsl.drawing.comparing import compared
from archdsl.drawing.drawing import Drawing, drawn
from archdsl.drawing.measures import MEASURES
from archdsl.drawing.page import Page
from archdsl.drawing.scene import Area, Placed
from archdsl.report.check import report
from tests.drawing.geometry import mistakes
from tests.properties.timing import slowness

SECONDS = 10  # for all, on a machine of the speed that `timing` calls nominal
SHEET = 1760  # pixels of the short side of a sheet that a drawing fits: letters on A4 are then at least 1.2 mm high
# Three modules of two, three and four branches, of which none repeats; heads at three to five scales, beside one another.
LARGER = {"hrnet_w18_small", "retinanet_resnet50", "retinanet_resnet101", *(f"yolov8_{size}" for size in "nsmlx")}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def gallery():
    """Return every bundled network with its drawing, and how long it took to check and to draw them all."""
    start, found = time.process_time(), {}
    for stem in project.bundled():
        file = project.Project().open(project.path_of(stem))
        for net in nets_of(file):
            network = compiled(net, Request(net=net), file=file).network
            drawing = drawn(network)
            found[net] = network, drawing, drawing.svg()
    return found, time.process_time() - start


def draw(name: str, **options) -> Page:
    return drawn(compiled(name).network, **options).page


def placed(page: Page) -> Iterator[tuple[float, float, Placed]]:
    """Yield the boxes of the net itself, with where they stand."""
    for x, y, area in page.areas:
        yield from [(x + box.x, y + box.y, box) for box in area.boxes]


def boxes(graph: Graph) -> Iterator[Box]:
    for box in graph.boxes:
        yield box
        if box.inside is not None:
            yield from boxes(box.inside)


def test_the_whole_gallery_takes_seconds(gallery):
    drawings, seconds = gallery
    assert len(drawings) > 220
    assert seconds < SECONDS * slowness(), f"{seconds:.1f} s"


def test_nothing_lies_upon_another(gallery):
    wrong = {net: found[:3] for net, (_, drawing, _) in gallery[0].items() if (found := mistakes(drawing.page))}
    assert not wrong


def test_a_drawing_fits_a_sheet_of_paper(gallery):
    def side(page: Page) -> float:
        return min(max(page.width / 1.414, page.height), max(page.width, page.height / 1.414))

    large = {net: side(drawing.page) for net, (_, drawing, _) in gallery[0].items() if side(drawing.page) > SHEET}
    assert large.keys() == LARGER


def test_drawings_are_small_and_well_formed(gallery):
    for net, (_, _, text) in gallery[0].items():
        assert len(text.encode()) < 100_000, net
        root = ET.fromstring(text)
        assert root.tag == f"{SVG}svg" and root.find(f"{SVG}title").text == net
        assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), "nothing is fetched"
    assert len(gallery[0]["resnet50"][2]) < 25_000


def test_figures_add_up_to_what_check_counts(gallery):
    """Of the boxes of a net, those of a closed block included; a net's own are all that it costs."""
    for net, (network, _, _) in gallery[0].items():
        total = report(network)
        found = picture(network).graph
        assert sum(box.figure for box in found.boxes) == total.macs, net
    for net in ("unet", "googlenet", "fpn_resnet50", "hrnet_w18", "vit_b_16", "mobileone_s0"):
        found = picture(compiled(net).network, "params").graph
        assert sum(box.figure for box in found.boxes) == report(compiled(net).network).params, net


def test_shapes_on_wires_are_those_of_check(gallery):
    for net in ("resnet50", "unet", "inception_v3", "hrnet_w18_small", "vit_b_16", "dla34", "shufflenet_v2_x1_0"):
        network = gallery[0][net][0]
        known = {"×".join(str(int(dim)) for dim in row.shape[1:]) for row in report(network).rows}
        known |= {"×".join(str(int(dim)) for dim in network.scope.shapes[v][1:]) for v in network.scope.inputs}
        found = picture(network)
        labels = {wire.label for graph in (found.graph, *[p.graph for p in found.panels]) for wire in graph.wires}
        assert labels - known <= {""}


@pytest.mark.parametrize("by", MEASURES)
def test_every_measure_can_be_drawn(by):
    for net in ("resnet18", "unet", "shufflenet_v2_x1_0", "odenet"):
        assert not mistakes(draw(net, by=by))


def test_the_least_time_is_that_of_the_roofline():
    from archdsl.analysis.roofline import DEVICES, total
    from archdsl.analysis.table import table

    network = compiled("mobilenet_v2").network
    seconds, _ = total(network, table(network), DEVICES["h100"])
    assert sum(box.figure for box in picture(network, "time").graph.boxes) == pytest.approx(seconds)


@pytest.mark.parametrize("depth", range(5))
def test_blocks_unfold_in_place_to_a_depth(depth):
    for net in ("resnet50", "densenet121", "googlenet", "hrnet_w18_small"):
        page = draw(net, depth=depth)
        assert not mistakes(page) and not page.panels


def test_a_depth_nests_so_far():
    def deep(graph: Graph) -> int:
        return max([1 + deep(box.inside) for box in graph.boxes if box.inside is not None], default=0)

    network = compiled("resnet50").network
    assert [deep(picture(network, depth=depth).graph) for depth in range(4)] == [0, 1, 2, 2]


# -------------------------------------------------------------------------------------------------- as in the papers
def test_resnet_folds_its_blocks_and_draws_the_skip_around():
    found = picture(compiled("resnet50").network)
    layers = [box for box in found.graph.boxes if box.kind == "frame"]
    counts = [[box.count for box in layer.inside.boxes if box.kind == "block"] for layer in layers]
    assert counts == [[1, 2], [1, 3], [1, 5], [1, 2]]
    assert [panel.note for panel in found.panels] == ["as in layer1.0, 3 more alike", "as in layer1.1, 11 more alike"]
    inside = draw("resnet50").panels[1].inside
    convs = [box for box in inside.boxes if box.box.kind == "step"]
    lane = max(x for wire in inside.wires for x, _ in wire.points)
    assert len(convs) == 3 and lane > max(box.x + box.width for box in convs)
    assert len({box.x + box.width / 2 for box in inside.boxes}) == 1, "the trunk is straight"


def test_densenet_is_four_blocks_with_transitions():
    found = picture(compiled("densenet121").network)
    blocks = [(box.text, box.count) for box in found.graph.boxes if box.kind == "block"]
    assert blocks == [
        ("denseblock1", 6), ("transition1", 1), ("denseblock2", 12), ("transition2", 1), ("denseblock3", 24),
        ("transition3", 1), ("denseblock4", 16),
    ]  # fmt: skip
    assert [panel.title for panel in found.panels] == ["dense_layer", "transition"]
    texts = [box.text for box in found.panels[0].graph.boxes]
    assert texts[1:4] == ["bn · relu · 1×1 conv, 128", "bn · relu · 3×3 conv, 32", "cat"]


def test_the_branches_of_inception_stand_side_by_side():
    panel = next(panel for panel in draw("inception_v3").panels if panel.box.text == "grid35")
    firsts = [box for box in panel.inside.boxes if box.box.text in ("1×1 conv, 64", "1×1 conv, 48", "3×3 avgpool")]
    assert len(firsts) == 4
    edges = sorted((box.x, box.x + box.width) for box in firsts)
    assert all(right < left for (_, right), (left, _) in zip(edges, edges[1:]))


def test_unet_is_a_u_with_its_skips_across():
    found = {}
    for x, y, box in placed(draw("unet")):
        found.setdefault(box.box.text, []).append((x + box.width / 2, y + box.height / 2))
    downs = [found[f"down{i}"][0] for i in range(1, 5)]
    merges = [found[f"merge{i}"][0] for i in range(1, 5)]
    (bottom,) = found["bottom"]
    assert len({x for x, _ in downs}) == 1 and len({x for x, _ in merges}) == 1
    assert downs[0][0] < bottom[0] < merges[0][0]
    assert sorted(y for _, y in downs) == [y for _, y in downs] and bottom[1] > max(y for _, y in downs + merges)
    assert sorted(y for _, y in found["cat"]) == pytest.approx([y for _, y in downs]), "skips run level"


def test_a_pyramid_leads_down_on_the_left_and_up_beside_it():
    found = {}
    for x, y, box in placed(draw("fpn_resnet50")):
        found.setdefault(box.box.text, []).append((x + box.width / 2, y + box.height / 2))
    layers = [found[f"layer{i}"][0] for i in range(1, 5)]
    assert sorted(y for _, y in layers) == [y for _, y in layers] and len({x for x, _ in layers}) == 1
    assert len({x for x, _ in found["+"]}) == 1 and found["+"][0][0] > layers[0][0]
    assert [y for _, y in sorted(found["+"], key=lambda each: each[1])] == pytest.approx([y for _, y in layers[:3]])


def test_what_a_body_is_given_twice_is_one_wire():
    """The layers of HarDNet read the input of their block by its name, the first one as what flows into it, too."""
    (panel, *_) = picture(compiled("hardnet68").network).panels
    (at,) = [at for at, box in enumerate(panel.graph.boxes) if box.kind == "frame"]
    assert len([wire for wire in panel.graph.wires if wire.target == at]) == 1
    assert len(panel.graph.inputs) == len(panel.graph.boxes[at].inside.inputs) == 1


def test_a_block_has_as_many_entries_as_it_shows_wherever_it_stands():
    head = "block join(a):\n    cat(identity, a)\n\nnet n:\n    input i: [N, 3, H=8, W=8]\n    y = i -> conv(3, 3)\n"
    same = "    y -> j1: join(y)\n    conv(3, 1)\n    z = x\n    j2: join(z)\n"
    for text, entries in ((head + same, 1), (head + same + "    conv(6, 1) -> j3: join(z)\n", 2)):
        found = picture(compile_text(text).network)
        assert [len(panel.graph.inputs) for panel in found.panels] == [entries]
        for at, box in enumerate(found.graph.boxes):
            assert box.kind != "block" or len([w for w in found.graph.wires if w.target == at]) == entries


def test_what_comes_in_does_so_at_the_top(gallery):
    def areas(boxes: Iterable[Placed]) -> Iterator[Area]:
        for inside in [box.inside for box in boxes if box.inside is not None]:
            yield inside
            yield from areas(inside.boxes)

    for net, (_, drawing, _) in gallery[0].items():
        page = drawing.page
        for area in areas([*page.panels, *[box for _, _, whole in page.areas for box in whole.boxes]]):
            starts = [wire.points[0] for wire in area.wires]
            points = [box for box in area.boxes if box.box.kind == "point"]
            ins = [box for box in points if any(abs(x - box.x) <= 1 and y == box.y for x, y in starts)]
            assert {box.y for box in ins} <= {0}, net


def test_hrnet_folds_its_modules():
    found = picture(compiled("hrnet_w18").network)
    assert [(box.text, box.count) for box in found.graph.boxes if box.kind == "module"] == [
        ("stage3", 4),
        ("stage4", 3),
    ]
    rows = next(panel for panel in found.panels if panel.title == "stage4").graph
    assert rows.by_scale and {box.level for box in rows.boxes if box.kind == "end"} == {0, 1, 2, 3}


ROUNDS = """
block cell(low):
    high = x
    l = add(low, high -> maxpool(2)) -> conv(8, 3)
    output high = add(high, l -> upsample(scale=2)) -> conv(8, 3)
    output low = l
    output seen = l -> conv(2, 1)

net n:
    input image: [N, 8, H=32, W=32]
    high0 = x
    low0 = x -> maxpool(2)
    for i in range(3):
        made{i} = high{i} -> cell(low{i})
        high{i+1} = made{i}.high
        low{i+1} = made{i}.low
"""


@pytest.mark.parametrize("ends", ["high3 low3", "high3", "low3 made2.seen"])
def test_what_goes_round_has_the_same_number_before_and_after(ends):
    outputs = "".join([f"    output y{at} = {end}\n" for at, end in enumerate(ends.split())])
    found = picture(compile_text(ROUNDS + outputs).network)
    (module,) = [panel.graph for panel in found.panels if panel.note == "one of its rounds"]
    shapes = {}
    for wire in module.wires:
        for end in (wire.source, wire.target):
            if module.boxes[end].kind == "end":
                shapes[module.boxes[end].text] = [int(dim) for dim in wire.shape[1:]]
    assert shapes["in 1"] == shapes["out 1"] != shapes["in 2"] == shapes["out 2"]
    assert len(shapes) == (5 if "seen" in ends else 4)


def test_weights_that_are_used_again_are_shared():
    text = "net n:\n    input left: [N, 3, H=8, W=8]\n    input right: [N, 3, H, W]\n    one = c: [conv(3, 3), relu]\n"
    text += "    other = d: [conv(3, 1), conv(3, 3)]\n    a = left -> one -> one -> one -> other\n"
    text += "    b = right -> one -> other\n    add(a, b)\n"
    network = compile_text(text).network
    found = picture(network, "params").graph.boxes
    assert sum(box.figure for box in found) == report(network).params == 180
    inside = [box for box in found[-3].inside.boxes if box.kind == "step"]
    assert [(box.more, box.figure) for box in inside] == [("shared", 0), ("shared", 0)]
    steps = [(box.text, box.more, box.count, box.figure) for box in found if box.kind in ("step", "frame")]
    assert steps == [
        ("3×3 conv, 3", "relu", 1, 84), ("3×3 conv, 3", "relu · shared", 2, 0), ("d", "", 1, 96),
        ("3×3 conv, 3", "relu · shared", 1, 0), ("d", "shared", 1, 0),
    ]  # fmt: skip


def test_heads_of_training_stand_beside_the_trunk():
    inside = {box.box.text: (x, box) for x, _, box in placed(draw("googlenet"))}
    assert "aux1 (training)" in inside and "aux2 (training)" in inside
    trunk = {round(inside[f"inception{name}"][0] + inside[f"inception{name}"][1].width / 2) for name in ("5a", "5b")}
    assert len(trunk) == 1


# -------------------------------------------------------------------------------------------------- files and themes
def test_a_drawing_is_what_notebooks_show_and_files_hold(tmp_path):
    drawing = archdsl.draw("lenet5", by="params", classes=7)
    assert isinstance(drawing, Drawing) and "linear, 7" in drawing._repr_svg_()
    assert drawing._repr_html_().startswith("<img ") and "data:image/svg+xml;base64," in drawing._repr_html_()
    for form, start in (("svg", b"<svg"), ("html", b"<!doctype html>"), ("pdf", b"%PDF"), ("png", b"\x89PNG")):
        drawing.save(tmp_path / f"lenet5.{form}")
        assert (tmp_path / f"lenet5.{form}").read_bytes().startswith(start)
    with pytest.raises(CompileError, match=r"the name ends in one of .svg, .html, .pdf, .png"):
        drawing.save(tmp_path / "lenet5.gif")


def test_without_its_library_a_png_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cairosvg", None)
    with pytest.raises(CompileError, match="a drawing as PNG needs cairosvg") as caught:
        archdsl.draw("lenet5").save(tmp_path / "lenet5.png")
    assert caught.value.diagnostic.code == "E0406" and 'pip install "archdsl[draw]"' in str(caught.value)
    assert not (tmp_path / "lenet5.png").exists()


def test_themes():
    texts = {theme: archdsl.draw("lenet5", theme=theme).svg() for theme in ("auto", "light", "dark")}
    assert "prefers-color-scheme" in texts["auto"] and "prefers-color-scheme" not in texts["light"] + texts["dark"]
    assert "#14181e" in texts["dark"] and "#14181e" not in texts["light"]
    for wrong in ({"theme": "pink"}, {"by": "colour"}):
        with pytest.raises(CompileError, match="cannot be read"):
            archdsl.draw("lenet5", **wrong)


def test_names_are_escaped():
    text = "net odd:\n    input image: [N, 3, H=8, W=8]\n    conv(4, 3)\n"
    drawing = drawn(compile_text(text).network.replace(name="<b>&"))
    ET.fromstring(drawing.svg())
    assert "<b>" not in drawing.html()


# -------------------------------------------------------------------------------------------------- differences
def marked(page: Page) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}

    def enter(box: Placed) -> None:
        found.setdefault(box.box.mark, set()).add(box.box.text)
        for inner in box.inside.boxes if box.inside is not None else ():
            enter(inner)

    for _, _, box in placed(page):
        enter(box)
    for panel in page.panels:
        enter(panel)
    return found


def test_a_difference_marks_what_differs():
    one, other = [compiled(name).network for name in ("resnet50", "resnext50_32x4d")]
    page = compared(one, other).page
    assert not mistakes(page)
    changed = marked(page)["changed"]
    assert {"bottleneck", "3×3 conv, 64", "3×3 conv, 128, 32 groups"} <= changed and "linear, 1000" not in changed
    same = compared(one, one).page
    assert set(marked(same)) == {""}


def test_a_difference_marks_what_one_side_has_alone():
    plain = "net a:\n    input image: [N, 3, H=8, W=8]\n    conv(4, 3) -> maxpool(2)\n"
    longer = plain.replace("net a", "net b") + "    conv(8, 1)\n    global_avgpool\n"
    networks = [compile_text(text).network for text in (plain, longer)]
    assert marked(compared(*networks).page)["added"] == {"1×1 conv, 8", "global avgpool"}
    assert marked(compared(*reversed(networks)).page)["removed"] == {"1×1 conv, 8", "global avgpool"}


# -------------------------------------------------------------------------------------------------- documents
def test_the_pictures_of_the_documents_are_current():
    folder = Path(__file__).parents[2] / "docs" / "pictures"
    for path in folder.glob("*.svg"):
        if path.stem == "diff":
            drawing = compared(*[compiled(name).network for name in ("resnet50", "resnext50_32x4d")])
        else:
            drawing = archdsl.draw(path.stem)
        assert path.read_text(encoding="utf-8") == drawing.svg(), f"{path.name}: run `make pictures`"


# -------------------------------------------------------------------------------------------------- tests of the tests
def test_the_geometry_sees_what_lies_upon_another():
    page = draw("resnet18")
    ((x, y, area),) = page.areas[:1]
    first = area.boxes[1]
    for wrong in (first.replace(y=first.y + 60), first.replace(x=first.x - 500), first.replace(width=20.0)):
        boxes = (area.boxes[0], wrong, *area.boxes[2:])
        broken = page.replace(areas=((x, y, area.replace(boxes=boxes)), *page.areas[1:]))
        assert mistakes(broken)


def test_a_drawing_is_the_same_in_every_python(monkeypatch):
    """From 3.12 on, `sum` rounds floats once and not at each step."""
    plain = builtins.sum

    def at_each_step(numbers, start=0):
        for number in numbers:
            start = start + number
        return start

    def once(numbers, start=0):
        numbers = list(numbers)
        return math.fsum(numbers) if any(isinstance(number, float) for number in numbers) else plain(numbers, start)

    found = set()
    for way in (at_each_step, once):
        monkeypatch.setattr(builtins, "sum", way)
        found.add(archdsl.draw("hrnet_w32").svg())
    assert len(found) == 1
