"""Shared fixtures: the public reference networks, and the switch that rewrites goldens."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
import torch

from archdsl.codegen import module
from archdsl.elaborate import nets
from archdsl.ir.verify import verify
from benchmarks import torchvision_ops

for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):  # tables are as wide as they need, and mistakes without colours
    os.environ.pop(name, None)

gc.set_threshold(10_000)  # a net has thousands of objects that stay, and 700 are looked through in vain
torch.set_num_threads(2 if "PYTEST_XDIST_WORKER" not in os.environ else 1)


@pytest.fixture(scope="session")
def torchvision_models():
    """The networks of torchvision. Its wheel is built for CUDA, and beside a CPU torch its import looks for operators
    that only its binary defines; their schemas are enough, since no network here calls them."""
    library = torchvision_ops.declared()
    import torchvision.models

    yield torchvision.models
    del library


@pytest.fixture(autouse=True, scope="session")
def every_pass_is_verified():
    """What elaboration, selection and lowering return is a network of which everything holds that `verify` states."""
    patch = pytest.MonkeyPatch()
    elaborated, lowered = nets.network, module.lower
    patch.setattr(nets, "network", lambda ctx, file, name: verify(elaborated(ctx, file, name)))
    patch.setattr(module, "lower", lambda given, kernels="none": verify(lowered(given, kernels)))
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def garbage_is_collected():
    """The command line turns that off for its process, which here is that of all tests."""
    yield
    gc.enable()


@pytest.fixture(autouse=True, scope="module")
def what_stays_is_no_garbage():
    """Libraries are a million objects, in which looking for garbage took a fifth of the time of all tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def one_thread():
    """Run PyTorch on one thread, for a module of tests whose tensors are small or on the meta device."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files with what is printed now")


@pytest.fixture
def golden(request: pytest.FixtureRequest):
    """Compare a text with `tests/golden/NAME`, or rewrite that file under `--update-golden`."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden file {name}: run `pytest --update-golden`, then read what it wrote"
        assert text == path.read_text(encoding="utf-8"), (
            f"{name} differs: if that is meant, run `pytest --update-golden`"
        )

    return compare
