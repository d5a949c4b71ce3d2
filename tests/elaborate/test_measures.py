"""Sizes of tensors as arguments of operators: what they mean at every size, what code takes them from, what is refused.

The oracle is PyTorch: each pair is a text, and the same in Python on the tensors of the run.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F

import archdsl
from archdsl import CompileError
from archdsl.analysis.legal import legal_sizes
from archdsl.codegen.replay import faithful
from archdsl.compiler import Request, compile_text
from archdsl.core.sizes import Size, SizeFault, Symbol, followed, in_python, law_between
from archdsl.ir.interpret import Mismatch, interpret

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = "net n:\n    input image: [N, 2, H=24, W=20]\n"
SIZES = [*itertools.product((*range(1, 26), 29, 30, 64), (1, 2, 7, 20)), (64, 33), (33, 64), (127, 128)]


def cropped(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Cut out the centre of a map, or raise where it is not inside."""
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x.narrow(2, top, height).narrow(3, left, width)


def padded(x: torch.Tensor, *sides: int, mode: str = "constant") -> torch.Tensor:
    """Add margins, of which none may be negative: `F.pad` would cut."""
    assert min(sides) >= 0
    return F.pad(x, sides, mode=mode)


def halved(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 2)


# A text, and what it means of an image x of height h and width w.
CASES: dict[str, Callable[[torch.Tensor, int, int], torch.Tensor]] = {
    "crop(size=(x.height // 2, 1))": lambda x, h, w: cropped(x, h // 2, 1),
    "crop(size=(x.height - 3, x.width))": lambda x, h, w: cropped(x, h - 3, w),
    "crop(size=(5, x.width // 3), offset=(x.height // 4, 0))": lambda x, h, w: x.narrow(2, h // 4, 5).narrow(
        3, 0, w // 3
    ),
    "crop(size=(4, 1), offset=(x.height - 6, 0))": lambda x, h, w: (
        x[:, :, h - 6 :].narrow(2, 0, 4)[..., :1] if h >= 6 else x.narrow(2, -1, 4)
    ),
    "pad((0, -x.width % 4, 0, -x.height % 8))": lambda x, h, w: padded(x, 0, -w % 4, 0, -h % 8),
    "pad((0, 0, -x.height % 32 // 2, (-x.height % 32 + 1) // 2))": lambda x, h, w: padded(
        x, 0, 0, -h % 32 // 2, (-h % 32 + 1) // 2
    ),
    "pad((0, 0, 0, 9 - x.height // 3))": lambda x, h, w: padded(x, 0, 0, 0, 9 - h // 3),
    'pad((0, 0, x.height // 2, 1), mode="reflect")': lambda x, h, w: padded(x, 0, 0, h // 2, 1, mode="reflect"),
    'pad((x.height % 3, 1), mode="replicate")': lambda x, h, w: padded(x, 1, 1, h % 3, h % 3, mode="replicate"),
    "adaptive_avgpool((x.height, 1))": lambda x, h, w: F.adaptive_avg_pool2d(x, (h, 1)),
    "adaptive_avgpool(x.width // 2)": lambda x, h, w: F.adaptive_avg_pool2d(x, w // 2),
    "adaptive_maxpool((2 * x.height, ceil(x.width / 3)))": lambda x, h, w: F.adaptive_max_pool2d(
        x, (2 * h, -(-w // 3))
    ),
    "upsample(size=(x.height + 1, 2 * x.width))": lambda x, h, w: F.interpolate(x, (h + 1, 2 * w)),
    'upsample(size=(7, x.height), mode="bilinear")': lambda x, h, w: F.interpolate(x, (7, h), mode="bilinear"),
    'slice(x.height // 3, x.height, axis="height")': lambda x, h, w: x[:, :, h // 3 : h],
    'slice(1, x.width - 1, axis="width")': lambda x, h, w: x.narrow(3, 1, w - 2),
    'slice(0, x.width // 2, axis="height")': lambda x, h, w: x.narrow(2, 0, w // 2),
    'slice(x.height // 2, x.height // 2 + 3, axis="height")': lambda x, h, w: x.narrow(2, h // 2, 3),
    "reshape(1, x.height, 2 * x.width)": lambda x, h, w: x.reshape(len(x), 1, h, 2 * w),
    "reshape(4, x.height // 2, x.width)": lambda x, h, w: x.reshape(len(x), 4, h // 2, w),
    "flatten -> reshape(2, image.width, image.height)": lambda x, h, w: x.reshape(len(x), 2, w, h),
    "tokens -> untokens(size=(image.height, image.width))": lambda x, h, w: x,
    "tokens(window=2) -> untokens(window=2, size=(image.height, image.width))": lambda x, h, w: x.narrow(
        2, 0, h - h % 2 if not h % 2 and not w % 2 else -1
    ),
    "maxpool(2) -> upsample(size=(image.height, image.width))": lambda x, h, w: F.interpolate(halved(x), (h, w)),
    "r = x -> relu\n    maxpool(2) -> crop(size=(r.height // 4, 1))": lambda x, h, w: cropped(halved(x), h // 4, 1),
    "h = x.height\n    maxpool(2) -> adaptive_avgpool((h, 3))": lambda x, h, w: F.adaptive_avg_pool2d(
        halved(x), (h, 3)
    ),
    "ys = [x, x -> relu]\n    relu -> upsample(size=(2 * ys[1].height, 3))": lambda x, h, w: F.interpolate(
        x.relu(), (2 * h, 3)
    ),
    "skip{1} = x\n    maxpool(2) -> upsample(size=(skip{1}.height, 4))": lambda x, h, w: F.interpolate(
        halved(x), (h, 4)
    ),
    "h = x.height\n    body:\n        maxpool(2)\n        upsample(size=(h, h))\n        relu": lambda x, h, w: (
        F.interpolate(halved(x), (h, h)).relu()
    ),
    "[maxpool(2), upsample(size=(2 * x.height, 3))]": lambda x, h, w: F.interpolate(halved(x), (h // 2 * 2, 3)),
    "cat(adaptive_avgpool((x.height, 1)), adaptive_maxpool((image.height, 1)))": lambda x, h, w: torch.cat(
        [F.adaptive_avg_pool2d(x, (h, 1)), F.adaptive_max_pool2d(x, (h, 1))], 1
    ),
}


def outcome(run: Callable[[], Any]) -> torch.Tensor | None:
    """Return a result that has elements, or None where there is none."""
    try:
        made = run()
    except (RuntimeError, AssertionError, Mismatch):
        return None
    return made if made.numel() else None


@pytest.mark.parametrize("text", CASES)
def test_a_size_means_what_pytorch_computes_at_every_input(text: str) -> None:
    source = f"{HEAD}    {text}\n"
    network = compile_text(source, Request("n")).network
    model = archdsl.loads(source).eval()
    legal = {one.name: one for one in legal_sizes(network)}
    for h, w in SIZES:
        x = torch.randn(2, 2, h, w)
        wanted = outcome(lambda x=x, h=h, w=w: CASES[text](x, h, w))  # type: ignore[misc]
        known = outcome(lambda x=x: interpret(network, model.state_dict(), x)["out"])  # type: ignore[misc]
        assert (wanted is None) == (known is None), (h, w)
        if wanted is not None:
            torch.testing.assert_close(model(x), wanted, rtol=0, atol=1e-6)
            torch.testing.assert_close(known, wanted, rtol=0, atol=1e-6)
        if h == 24 or w == 20:  # sizes are legal one by one, the other at its default
            assert (wanted is not None) == (h in legal["H"] and w in legal["W"]), (h, w)


def test_code_takes_a_size_from_the_tensor_that_the_text_names() -> None:
    source = f"{HEAD}    skip = x -> conv(2, 3)\n    conv(4, 3, stride=2) -> crop(size=(skip.height // 3, 2))\n"
    text = faithful(compile_text(source, Request("n")).network).text
    assert "skip.shape[2] // 3, 2" in text


def test_one_class_serves_instances_that_take_the_same_sizes() -> None:
    source = (
        "block up(c, target):\n    conv(c, 1) -> upsample(size=(target.height, target.width))\n"
        f"{HEAD}    skip = x\n    conv(4, 3, stride=2)\n    other = x\n    maxpool(2) -> up(8, other) -> up(16, skip)\n"
    )
    text = faithful(compile_text(source, Request("n")).network).text
    assert text.count("class Up") == 1
    assert "size=(target.shape[2], target.shape[3])" in text


def test_instances_that_make_something_else_of_a_size_are_right_too() -> None:
    source = (
        "block part(n):\n    conv(2, 1) -> adaptive_avgpool((x.height // n, 1))\n"
        f'{HEAD}    a = x -> part(2)\n    b = x -> part(3)\n    cat(a, b, axis="height")\n'
    )
    model = archdsl.loads(source).eval()
    assert faithful(compile_text(source, Request("n")).network)
    for h in (3, 8, 17, 30):
        assert model(torch.randn(1, 2, h, 5)).shape == (1, 2, h // 2 + h // 3, 1)


def test_training_keeps_what_is_read_and_no_more() -> None:
    source = f"{HEAD}    skip = x\n    conv(2, 3, stride=2) -> adaptive_avgpool((skip.height, 1))\n"
    model = archdsl.loads(source).train()
    model(torch.randn(2, 2, 13, 9)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("crop(size=(x.height * x.width, 1))", "E0205", "an integer or size"),
        ("conv(4, x.height)", "E0205", "changes with the input"),
        ("crop(size=(2 * x.height, 1))", "E0301", "inside its input"),
        ("pad((0, 0, 3 - x.height, 0))", "E0301", "negative"),
        ("crop(size=(x.height // 2 + x.height // 7 + x.height // 5, 1))", "E0308", "no tensor"),
        ('slice(0, x.height - x.width, axis="height")', "E0304", "different input sizes"),
        ("slice(0, x.height // 16)", "E0301", "the same for all inputs"),
        ("reshape(2, x.height, x.height)", "E0301", "number of elements"),
    ],
)
def test_what_is_no_size_is_refused_where_it_stands(body: str, code: str, words: str) -> None:
    with pytest.raises(CompileError) as found:
        compile_text(f"{HEAD}    {body}\n", Request("n"))
    assert found.value.diagnostic.code == code
    assert words in str(found.value)
    assert found.value.diagnostic.primary.span.line == 3


def test_a_block_is_given_the_tensor_and_not_its_size() -> None:
    source = f"block up(h):\n    upsample(size=(h, 1))\n{HEAD}    conv(4, 3, stride=2) -> up(image.height)\n"
    with pytest.raises(CompileError) as found:
        compile_text(source, Request("n"))
    assert found.value.diagnostic.code == "E0308"
    assert compile_text(source.replace("image.height", "2 * x.height"), Request("n"))  # which its own input has


def test_laws_are_exact_and_so_is_their_code() -> None:
    """Whatever one size of an input makes of another, the law says it, and Python's own arithmetic agrees."""
    rng, symbol = random.Random(0), Size.of(Symbol("H", 24))
    steps = (lambda d: d + rng.randint(-3, 5), lambda d: d * rng.randint(1, 3), lambda d: d // rng.randint(1, 4))

    def some(dim: Any) -> Any:
        for _ in range(rng.randint(0, 3)):
            dim = rng.choice(steps)(dim)
        return dim % rng.randint(2, 9) if rng.random() < 0.2 else dim

    count = 0
    for _ in range(2000):
        known, wanted = some(symbol), some(symbol)
        wanted = some(known) if rng.random() < 0.7 else wanted
        law = law_between(known, wanted) if isinstance(known, Size) and isinstance(wanted, Size) else None
        if law is None:
            continue
        assert followed(law, known) == wanted
        try:
            code = in_python(law, "n")
        except SizeFault:
            continue
        count += 1
        assert all(eval(code, {"n": known.at(n)}) == wanted.at(n) for n in range(1, 50)), (code, law)
    assert count > 500


def test_sizes_that_do_not_follow_from_one_another_have_no_law() -> None:
    height, width = Size.of(Symbol("H", 24)), Size.of(Symbol("W", 24))
    assert law_between(height // 2, height) is None
    assert law_between(width, height) is None
    assert law_between(height % 2, height) is None
