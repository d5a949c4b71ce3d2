"""The page of `archdsl explore` in a real browser: it folds, follows sizes, links its views, and asks nobody."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from archdsl.analysis.forms import closed
from archdsl.cli.main import main
from archdsl.cli.watch import Files
from archdsl.compiler import Request, compiled
from archdsl.drawing.exploring import explorer, known
from archdsl.drawing.serving import Follower, server
from archdsl.report.check import report
from tests.drawing.browser import opened

OUTER = ".box.folds:not(.open)"


@pytest.fixture(scope="module")
def browser():
    with opened() as page:
        yield page


def show(browser, found) -> None:
    """Show a network on a page of its own."""
    browser.mistakes.clear()
    browser.goto("about:blank")
    browser.set_content(explorer(found))


@pytest.fixture
def resnet(browser):
    show(browser, compiled("resnet50"))
    return browser


def test_what_the_page_knows_is_what_check_says():
    found = compiled("densenet121")
    data, said = known(found), report(found.network)
    assert [(row["what"], row["params"], row["macs"]) for row in data["rows"]] == [
        (row.what, row.params, row.macs) for row in said.rows
    ]
    assert sum(box["figures"][0] for box in data["graph"]["boxes"]) == said.macs
    assert sum(box["figures"][1] for box in data["graph"]["boxes"]) == said.params
    places = {row["path"]: row["place"] for row in data["rows"]}
    number, line = places["features.denseblock1.denselayer1.conv2"]
    assert "conv2: conv(growth, 3)" in data["sources"][number]["text"].split("\n")[line - 1]


@pytest.mark.parametrize("net", ["unet", "hrnet_w18", "vit_b_16", "odenet", "fpn_resnet18", "lenet5_1998", "dla34"])
def test_any_network_can_be_explored_wholly_unfolded(browser, net):
    show(browser, compiled(net))
    browser.click("#unfold")
    assert browser.mistakes == []
    boxes = browser.evaluate("boxes.filter(box => box.kind !== 'point' && !box.element).length")
    assert boxes == 0, "every box is shown"


def test_a_block_folds_and_unfolds(resnet):
    before = resnet.locator(".box").count()
    resnet.locator(f"{OUTER} > .title").first.click()
    unfolded = resnet.locator(".box").count()
    assert unfolded > before and resnet.locator(".box.open", has_text="3×3 conv, 64").count()
    resnet.locator(".box.open .box.open > .title").first.click()
    assert resnet.locator(".box").count() == before
    assert resnet.locator(".box .times", has_text="×5").count() == 1


def test_wires_meet_their_boxes_after_unfolding(resnet):
    resnet.click("#unfold")
    ends = resnet.evaluate("""() => [...document.querySelectorAll('.tip')].filter(tip => {
        const at = tip.getBoundingClientRect();
        const middle = [(at.left + at.right) / 2, (at.top + at.bottom) / 2];
        const near = [...document.querySelectorAll('.box')].map(box => box.getBoundingClientRect()).some(box =>
            middle[0] > box.left - 8 && middle[0] < box.right + 8 && middle[1] > box.top - 8 && middle[1] < box.bottom + 8);
        return !near;
    }).length""")
    assert ends == 0 and resnet.locator(".tip").count() > 50


def test_a_box_marks_its_rows_and_its_line(resnet):
    resnet.click("button[data-tab=text]")
    resnet.locator(".box", has_text="7×7 conv, 64").first.click()
    rows = resnet.locator("tr.chosen")
    assert [rows.nth(at).get_attribute("data-path") for at in range(rows.count())] == ["conv1", "bn1", "2"]
    lines = resnet.locator(".line.chosen")
    assert lines.count() == 1 and "conv1: conv(64, 7, stride=2)" in lines.first.inner_text()


def test_a_row_unfolds_what_holds_its_box(resnet):
    resnet.click("button[data-tab=steps]")
    resnet.locator("tr[data-path='layer3.1.conv2']").click()
    chosen = resnet.locator(".box.chosen")
    assert chosen.count() == 1 and "3×3 conv, 256" in chosen.inner_text() and chosen.is_visible()
    view, box = resnet.locator("#view").bounding_box(), chosen.bounding_box()
    assert view["x"] <= box["x"] and box["y"] + box["height"] <= view["y"] + view["height"]


def test_a_line_marks_every_step_that_it_makes(resnet):
    resnet.click("button[data-tab=text]")
    resnet.locator(".line", has_text="downsample: shortcut(4 * planes").click()
    paths = resnet.evaluate("data.rows.filter(row => row.element.classList.contains('chosen')).map(row => row.path)")
    assert paths == ["layer1.0.downsample", "layer2.0.downsample", "layer3.0.downsample", "layer4.0.downsample"]


def test_search_finds_steps_and_goes_through_them(resnet):
    resnet.fill("#search", "maxpool")
    assert resnet.inner_text("#hits") == "1" and resnet.locator(".box.hit").count() == 1
    resnet.fill("#search", "conv2")
    for at in ("1 of 8", "2 of 8"):
        resnet.press("#search", "Enter")
        assert resnet.inner_text("#hits") == at and resnet.locator(".box.chosen").is_visible()


@pytest.mark.parametrize("net", ["resnet50", "unet", "vit_b_16", "inception_v3"])
def test_costs_follow_sizes_as_the_compiler_counts_them(browser, net):
    found = compiled(net)
    show(browser, found)
    form = closed(found.network)
    browser.click("button[data-tab=sizes]")
    default = next(symbol.default for symbol in found.network.symbols if symbol.name == "H")
    for size in (default + 3, default * 2 + 1):
        browser.fill("#sizes input[type=number][name=H]", str(size))
        browser.fill("#sizes input[type=number][name=N]", "4")
        said = browser.evaluate("[...document.querySelectorAll('#costs dd')].map(each => each.textContent)")
        numbers = [int(text.replace(",", "")) for text in said[1::2]]
        assert numbers[0] == form.params
        assert numbers[1] == form.macs.at({"H": size}, batch=4)
        assert numbers[2] == form.bytes.at({"H": size}, batch=4)


def test_shapes_follow_sizes_and_illegal_ones_are_named(browser):
    show(browser, compiled("unet"))
    browser.click("button[data-tab=sizes]")
    browser.fill("#sizes input[type=number][name=H]", "588")
    shape = "data.rows.find(row => row.path === 'down1').element.children[2].textContent"
    assert browser.evaluate(shape) == "64×584×568"
    assert "64×584×568" in browser.evaluate("[...document.querySelectorAll('.label')].map(each => each.textContent)")
    assert browser.inner_text("#illegal") == ""
    browser.fill("#sizes input[type=number][name=H]", "100")
    assert browser.inner_text("#illegal").startswith("not a legal size: H")


def test_costs_follow_a_parameter(browser):
    show(browser, compiled("densenet121"))
    browser.click("button[data-tab=sizes]")
    browser.fill("#sizes input[type=number][name=growth]", "24")
    expected = report(compiled("densenet121", Request(params={"growth": 24})).network)
    said = browser.evaluate("[...document.querySelectorAll('#sizes dl')][1].textContent")
    assert f"{expected.macs:,}" in said and f"{expected.params:,}" in said


def test_colours_are_by_what_is_asked(resnet):
    heat = "document.querySelectorAll('.box.step')[0].style.background"
    before = resnet.evaluate(heat)
    resnet.select_option("#by", "1")
    assert resnet.evaluate(heat) != before


def test_the_drawing_zooms_and_moves(resnet):
    before = resnet.evaluate("state.scale")
    resnet.click("#in")
    assert resnet.evaluate("state.scale") > before
    resnet.mouse.move(60, 600)
    x = resnet.evaluate("state.x")
    resnet.mouse.down()
    resnet.mouse.move(160, 640)
    resnet.mouse.up()
    assert resnet.evaluate("state.x") - x == pytest.approx(100)


def test_the_course_shows_memory_and_fields(resnet):
    resnet.click("button[data-tab=course]")
    heads = resnet.locator("#course h2")
    assert "14.2 MB" in heads.nth(0).inner_text() and "427" in heads.nth(1).inner_text()
    resnet.locator("#course .bar").nth(5).click(force=True)
    assert resnet.locator("tr.chosen").count()


def test_the_picture_leads_to_the_steps(browser):
    show(browser, compiled("unet"))
    browser.click("button[data-tab=picture]")
    browser.locator("#picture svg g", has_text="merge3").first.click()
    assert browser.locator(".box.chosen").first.inner_text().startswith("merge3")


def test_nothing_leaves_the_page(browser, tmp_path):
    main(["explore", "resnet18", "-o", str(tmp_path / "net.html")])
    browser.asked.clear()
    browser.goto((tmp_path / "net.html").as_uri())
    browser.click("#unfold")
    browser.wait_for_timeout(500)
    assert [url for url in browser.asked if not url.startswith("file:")] == [] and len(browser.asked) == 1
    assert browser.mistakes == []


def test_names_from_a_text_are_only_text(tmp_path, browser):
    evil = tmp_path / "evil.arch"
    evil.write_text(
        '"""</script><script>document.title = "owned"</script>"""\nnet evil:\n    input image: [N, 3, H=8, W=8]\n    conv(4, 3)\n'
    )
    show(browser, compiled(str(evil)))
    assert browser.title() == "evil" and "</script>" in browser.evaluate("data.sources[0].text")


# -------------------------------------------------------------------------------------------------- following a file
@contextmanager
def followed(path):
    follower = Follower(str(path), Request(), Files([str(path)]).stamps)
    with server(follower) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/"
        serving.shutdown()
        thread.join()


def test_a_page_follows_its_file_mistakes_included(tmp_path, browser):
    path = tmp_path / "mine.arch"
    text = "net mine:\n    input image: [N, 3, H=8, W=8]\n    first: conv(4, 3)\n"
    path.write_text(text)
    browser.context.set_offline(False)
    with followed(path) as address:
        browser.goto(address)
        assert browser.locator(".box", has_text="3×3 conv, 4").count() == 1
        path.write_text(text + "    second: linearr(7)\n    third: konv(3)\n")
        browser.wait_for_selector("#mistakes:not([hidden])")
        said = browser.inner_text("#mistakes")
        assert "linearr" in said and "konv" in said and "^^^" in said
        assert browser.locator(".box", has_text="3×3 conv, 4").count() == 1, "the last network that had none"
        path.write_text(text + "    second: conv(16, 1)\n")
        browser.wait_for_selector(".box:has-text('1×1 conv, 16')")
        assert not browser.locator("#mistakes").is_visible()
        assert all(url.startswith((address, "file:")) for url in browser.asked[1:])
    browser.context.set_offline(True)


def test_a_server_answers_this_machine_alone(tmp_path):
    from urllib.error import HTTPError
    from urllib.request import Request as Ask
    from urllib.request import urlopen

    path = tmp_path / "broken.arch"
    path.write_text("net broken:\n    input image: [N, 3, H=8, W=8]\n    konv(4)\n")
    with followed(path) as address:
        assert b"konv" in urlopen(address).read(), "a file that is wrong at first has a page, too"
        for url, headers in ((f"{address}etc/passwd", {}), (address, {"Host": "evil.example:80"})):
            with pytest.raises(HTTPError):
                urlopen(Ask(url, headers=headers))
