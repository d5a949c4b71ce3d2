"""Drawings in a real browser: texts are as wide there as was reckoned with, colours follow the reader's theme."""

from __future__ import annotations

import pytest

import archdsl
from tests.drawing.browser import opened

# For each box with texts: how far the texts reach out of it to the left and to the right, by the browser's own fonts.
OUTSIDE = """() => [...document.querySelectorAll('svg g')].flatMap(group => {
    const box = [...group.children].filter(e => e.tagName === 'rect').pop();
    const room = [...group.children].filter(e => e.tagName === 'rect').map(e => e.getBBox())
        .sort((a, b) => b.width - a.width)[0];
    return [...group.children].filter(e => e.tagName === 'text').map(text => {
        const bounds = text.getBBox();
        return [text.textContent, room.x - bounds.x, bounds.x + bounds.width - room.x - room.width];
    });
})"""
UPON = """() => [...document.querySelectorAll('svg g')].flatMap(group => {
    const texts = [...group.children].filter(e => e.tagName === 'text').map(e => [e.textContent, e.getBBox()]);
    return texts.flatMap(([one, a], at) => texts.slice(at + 1).filter(([_, b]) =>
        a.x < b.x + b.width && b.x < a.x + a.width && a.y + 3 < b.y + b.height - 3 && b.y + 3 < a.y + a.height - 3
    ).map(([other]) => [one, other]));
})"""


@pytest.fixture(scope="module")
def page():
    with opened() as page:
        yield page


@pytest.mark.parametrize("net", ["resnet50", "inception_v3", "unet", "hrnet_w18", "vit_b_16", "efficientnet_b0"])
def test_texts_fit_their_boxes_with_the_fonts_of_a_browser(page, net):
    page.set_content(archdsl.draw(net).html())
    found = page.evaluate(OUTSIDE)
    assert len(found) > 20
    assert [each for each in found if each[1] > 0 or each[2] > 0] == []
    assert page.evaluate(UPON) == []


def test_a_drawing_is_dark_where_the_reader_prefers_it(page):
    page.set_content(archdsl.draw("lenet5").html())
    colour = "() => getComputedStyle(document.querySelector('svg .page')).fill"
    for scheme, fill in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 24, 30)")):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(colour) == fill
    assert page.mistakes == [] and [url for url in page.asked if not url.startswith(("about:", "data:"))] == []
