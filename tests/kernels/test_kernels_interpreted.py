"""Runs `interpreted.py` in a process of its own, where Triton interprets its kernels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

pytest.importorskip("triton")


def version(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in metadata.version(package).split(".")[:2])


@pytest.mark.skipif(
    version("triton") < (3, 7) and version("numpy") >= (2, 4),
    reason="loops of this Triton's interpreter need an older numpy",
)
def test_kernels_in_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "interpreted.py"]
    # numpy says that exp overflows where a sigmoid goes to 0, as it should
    command += ["-W", "ignore::RuntimeWarning:triton.runtime.interpreter"]
    # loops of Triton 3.6 take numbers from arrays, which numpy will not allow for ever
    command += ["-W", "ignore::DeprecationWarning:triton.runtime.interpreter"]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) >= 90
