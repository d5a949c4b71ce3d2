"""Each kernel has one entry, and whoever names a kernel knows all of them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import archdsl.kernels
import pytest
import torch

from archdsl import loads
from archdsl.codegen import measured
from archdsl.codegen.kernels import KERNELS, LOWERINGS
from archdsl.codegen.replay import faithful
from archdsl.compiler import compile_text
from tests.kernels.test_kernels import OPCHECKS

ROOT = Path(__file__).resolve().parents[2]
HELPERS = {"__init__", "available", "epilogue", "layout", "registers"}
# For each kernel of generated code a block, an argument and an input that want its name, or one like it.
LOWERED = {
    "DepthwiseConv2d": """
block depthwise_conv2d(DepthwiseConv2d):
    conv(4, DepthwiseConv2d, groups=4) -> depthwise(3)

net n:
    input image: [N, 4, H=8, W=8]
    input DepthwiseConv2d: [N, 4, H, W]
    output left = image -> depthwise_conv2d(2)
    output right = DepthwiseConv2d -> depthwise(3)
""",
    "channel_shuffle": """
block net_of(channel_shuffle):
    add(conv(4 * channel_shuffle, 1) -> shuffle(2), conv(4 * channel_shuffle, 1) -> shuffle(channel_shuffle))

net n:
    input image: [N, 4, H=8, W=8]
    input channel_shuffle: [N, 4, H, W]
    output left = image -> net_of(2)
    output right = channel_shuffle -> shuffle(2)
""",
}


def test_every_file_has_an_entry():
    assert {path.stem for path in (ROOT / "kernels").glob("*.py")} - HELPERS == {kernel.file for kernel in KERNELS}


def test_the_package_offers_what_the_entries_name():
    assert sorted(archdsl.kernels.__all__) == sorted(name for kernel in KERNELS for name in kernel.names)
    for kernel in KERNELS:
        homes = {getattr(archdsl.kernels, name).__module__ for name in kernel.names}
        assert homes == {f"archdsl.kernels.{kernel.file}"}


def test_the_entries_name_the_operators_of_pytorch():
    known = {name.split("::")[1] for name in torch._C._dispatch_get_all_op_names() if name.startswith("archdsl::")}
    assert known == {operator for kernel in KERNELS for operator in kernel.operators}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.names[0])
class TestEntry:
    def test_its_programs_are_those_of_its_file(self, kernel):
        module = import_module(f"archdsl.kernels.{kernel.file}")
        programs = {name for one in KERNELS if one.file == kernel.file for name in one.programs}
        assert {name for name in vars(module) if name.endswith("_kernel")} == programs

    def test_pytorch_checks_its_operators(self, kernel):
        checked = {str(case()[0]).removeprefix("archdsl.") for case in OPCHECKS.values()}
        assert checked >= set(kernel.operators)

    def test_it_says_whether_it_has_a_gradient(self, kernel):
        for operator, arguments in (case() for case in OPCHECKS.values()):
            if str(operator).removeprefix("archdsl.") in kernel.operators:
                assert differentiable(operator, arguments) == kernel.gradient

    def test_its_documents_and_faults(self, kernel):
        page = (ROOT / "docs" / "kernels.md").read_text()
        assert f"| `{kernel.names[0]}` |" in page
        assert f'file = "kernels/{kernel.file}.py"' in (ROOT / "benchmarks" / "faults.toml").read_text()


def differentiable(operator, arguments) -> bool:
    given = [
        one.detach().requires_grad_() if isinstance(one, torch.Tensor) and one.is_floating_point() else one
        for one in arguments
    ]
    try:
        found = operator(*given)
        found = found if isinstance(found, (tuple, list)) else [found]
        sum(y.sum() for y in found if y is not None and y.requires_grad).backward()
    except (RuntimeError, AttributeError):
        return False
    return True


def test_rows_of_the_table_belong_to_kernels():
    assert {row.operation for row in measured.rows()} <= {kernel.operation for kernel in KERNELS}


@pytest.mark.parametrize("lowering", LOWERINGS, ids=lambda lowering: lowering.code)
def test_generated_code_has_the_name_for_the_kernel_alone(lowering):
    """The code is replayed, and it runs: a class, a variable or an argument of that name would be another thing."""
    text = LOWERED[lowering.code]
    torch.manual_seed(0)
    model = loads(text, kernels="all")
    plain = loads(text, kernels="none")
    plain.load_state_dict(model.state_dict())
    xs = torch.randn(2, 2, 4, 8, 8)
    torch.testing.assert_close(model(*xs), plain(*xs))
    assert f"import {lowering.code}\n" in faithful(compile_text(text).network, kernels="all").text
