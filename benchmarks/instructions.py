"""Instructions that the tuned kernels take for an output, from machine code compiled without a GPU.

A memory-bound kernel on an H200 may spend 31 instructions of a thread on a bf16 output (132 SMs x 128 lanes x 1.98 GHz
over 4.3 TB/s at 4 bytes an output) before issuing them takes longer than moving the bytes. Counts are static: the
kernels are straight-line code, and what a tile computes beyond the edge of a map is charged to the outputs within it.
`python -m benchmarks.instructions` writes `results/instructions.json`; the tests hold the tuned kernel to its budget.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
import triton
from archdsl.kernels import depthwise, pointwise, separable
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

RESULTS = Path(__file__).resolve().parent / "results" / "instructions.json"
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
ISSUE = 132 * 4 * 32 * 1.98e9  # instructions of threads a second on an H200
BANDWIDTH = 4.3e12  # bytes a second that a copy reaches on one
TYPES = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}
# channels, height and width, kernel, stride: the depthwise layers of MobileNet v2, ShuffleNet v2, EfficientNet-B0 and
# ConvNeXt-T
LAYERS = (
    (32, 112, 3, 1), (96, 112, 3, 2), (144, 56, 3, 1), (192, 28, 3, 1), (384, 14, 3, 1), (576, 14, 3, 1),
    (960, 7, 3, 1), (58, 28, 3, 1), (116, 14, 3, 1), (232, 7, 3, 1), (240, 28, 5, 1), (672, 14, 5, 1),
    (1152, 7, 5, 1), (96, 56, 7, 1), (192, 28, 7, 1), (384, 14, 7, 1), (768, 7, 7, 1),
)  # fmt: skip
# the same and output channels: MobileNet v2's blocks, and a unit of ShuffleNet v2
SEPARABLE = (
    (32, 112, 3, 1, 16), (96, 112, 3, 2, 24), (144, 56, 3, 1, 24), (144, 56, 3, 2, 32), (192, 28, 3, 1, 32),
    (192, 28, 3, 2, 64), (384, 14, 3, 1, 64), (384, 14, 3, 1, 96), (576, 14, 3, 1, 96), (58, 28, 3, 1, 58),
)  # fmt: skip
# input channels, output channels, height and width of 1x1 convolutions in the same networks
POINTWISE = ((16, 96, 112), (144, 24, 56), (32, 192, 28), (192, 32, 28), (576, 96, 14), (960, 160, 7), (58, 58, 28))


class Code(NamedTuple):
    """What a compiled kernel is made of."""

    instructions: list[str]
    registers: int
    spilled: int  # bytes of local memory a thread
    shared: int  # bytes of shared memory a program
    text: str

    def widest(self, name: str) -> int:
        """Return the bits that the widest instruction of a name (LDG, STG) moves."""
        found = [re.search(r"\.(64|128)\b", i) for i in self.instructions if i.startswith(name)]
        return max((int(f.group(1)) if f else 32 for f in found), default=0)

    def count(self, name: str) -> int:
        """Return how many instructions have a name, such as LDGSTS, an asynchronous copy to shared memory."""
        return sum(i.split(".")[0] == name for i in self.instructions)


def compiled(kernel, types: dict[str, str], constants: dict, warps: int, arch: int = 90) -> Code:
    """Compile a kernel for a compute capability, all pointers aligned to 16 bytes as PyTorch's are."""
    names = kernel.arg_names
    signature = {name: types.get(name, "constexpr") for name in names}
    values = {(names.index(name),): value for name, value in constants.items()}
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if signature[n].startswith("*")}
    source = ASTSource(kernel, signature=signature, constexprs=values, attrs=aligned)
    target = GPUTarget("cuda", arch, 32)
    made = triton.compile(source, target=target, options={"num_warps": warps})
    return disassembled(made.asm["cubin"], made.metadata.shared)


def disassembled(cubin: bytes, shared: int) -> Code:
    """Read the machine code, without the padding after its end."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = subprocess.run(
            [TOOLS / "cuobjdump", "-res-usage", file.name], capture_output=True, text=True, check=True
        )
        text = subprocess.run([TOOLS / "nvdisasm", "-c", file.name], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", text, re.MULTILINE)
    while found[-1] == "NOP":
        found.pop()
    resources = re.search(r"REG:(\d+) STACK:(\d+)", usage.stdout + usage.stderr)
    return Code(found, int(resources.group(1)), int(resources.group(2)), shared, text)


def loop(code: Code) -> int:
    """Return the instructions of the longest loop: what stands between a label and the branch back to it."""
    at, labels, longest = 0, {}, 0
    for line in code.text.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label.group(1)] = at
        elif re.match(r"\s+/\*[0-9a-f]{4,}\*/", line):
            at += 1
            back = re.search(r"\bBRA .*\((\.L_x_\d+)\)", line)
            if back and back.group(1) in labels:
                longest = max(longest, at - labels[back.group(1)])
    return longest


def layer(channels: int, size: int, kernel: int, stride: int) -> depthwise.Geometry:
    """Return the geometry of a layer, channels_last."""
    shape = (1, channels, size, size)
    where = ((stride, stride), (kernel // 2, kernel // 2), (1, 1))
    return depthwise.geometry_of(shape, (channels, 1, kernel, kernel), *where)


def tile_of(tile: depthwise.Tile) -> dict[str, int]:
    return {"ROWS": tile.rows, "BW": tile.columns, "BC": tile.channels}


def forward(g: depthwise.Geometry, tile: depthwise.Tile, arch: int = 90, dtype: torch.dtype = torch.bfloat16) -> Code:
    """Compile the forward kernel with a folded batch norm and ReLU6."""
    data = TYPES[dtype]
    types = {"x_ptr": data, "w_ptr": data, "scale_ptr": "*fp32", "shift_ptr": "*fp32", "y_ptr": data}
    flags = {"SCALE": True, "SHIFT": True, "RESIDUAL": False, "ACT": "relu6", "SLOPE": 0.0, "residual_ptr": None}
    return compiled(depthwise.depthwise_fwd_kernel, types, g.constants() | flags | tile_of(tile), tile.warps, arch)


def grads(g: depthwise.Geometry, tile: depthwise.Tile, arch: int = 90) -> Code:
    """Compile the kernel of both gradients; its loop over tiles counts."""
    types = dict.fromkeys(("dy_ptr", "x_ptr", "w_ptr", "dx_ptr"), "*bf16") | {"part_ptr": "*fp32", "tiles": "i32"}
    constants = g.constants() | tile_of(tile) | {"SPLITS": 64, "INPUT": True, "WEIGHT": True}
    return compiled(depthwise.depthwise_grads_kernel, types, constants, tile.warps, arch)


def both(g: depthwise.Geometry, out: int, tile: separable.Tile, arch: int = 90) -> Code:
    """Compile the kernel of a depthwise convolution and a 1x1 one, with folded batch norms and ReLU6 between."""
    types = dict.fromkeys(("x_ptr", "taps_ptr", "w_ptr", "y_ptr"), "*bf16") | {"lanes": "i32"}
    types |= dict.fromkeys(("shift_ptr", "shift_out_ptr"), "*fp32")
    constants = g.constants() | dict.fromkeys(("scale_ptr", "scale_out_ptr", "residual_ptr"))
    constants |= {"SCALE": False, "SHIFT": True, "SCALE_OUT": False, "SHIFT_OUT": True, "RESIDUAL": False}
    constants |= {"ACT": "relu6", "ACT_OUT": "none", "SLOPE": 0.0, "PRECISION": "ieee", "UPCAST": False, "N_OUT": out}
    constants |= {"ROWS": tile.rows, "BM": tile.lanes, "BN": tile.channels, "BK": tile.depth, "STAGES": tile.stages}
    return compiled(separable.separable_fwd_kernel, types, constants, tile.warps, arch)


def product(channels: int, out: int, tile: pointwise.Tile, arch: int = 90, before: str = "") -> Code:
    """Compile the kernel of a 1x1 convolution with a folded batch norm and ReLU6; `before` is "", "gate" or "clamp"."""
    types = dict.fromkeys(("x_ptr", "w_ptr", "y_ptr"), "*bf16") | {"shift_ptr": "*fp32"}
    types |= dict.fromkeys(("pixels", "area", "columns", "apart", "size"), "i32")
    types |= {"gate": {"gate_ptr": "*bf16"}, "clamp": {"low_ptr": "*bf16"}}.get(before, {})
    pointers = [name for name in pointwise.pointwise_fwd_kernel.arg_names if name.endswith("_ptr")]
    constants = {name: None for name in pointers if name not in types}
    parts = ("SCALE", "SHIFT", "RESIDUAL", "SCALE_IN", "SHIFT_IN", "LOW", "HIGH", "GATE", "CHANNELS", "SCATTER")
    constants |= {part: f"{part.lower()}_ptr" in types for part in parts}
    constants |= {"PITCH": channels, "K": channels, "N_OUT": out, "SW": 1, "STRIDED": False}
    constants |= {"ACT": "relu6", "ACT_IN": "none", "SLOPE": 0.0, "PRECISION": "ieee", "UPCAST": False}
    constants |= {"BM": tile.pixels, "BN": tile.channels, "BK": tile.depth, "STAGES": tile.stages}
    return compiled(pointwise.pointwise_fwd_kernel, types, constants, tile.warps, arch)


def a_value_read(channels: int, out: int, tile: pointwise.Tile, code: Code) -> float:
    """Return the thread instructions that fall to one element of the input of a 1x1 convolution."""
    return len(code.instructions) * math.ceil(out / tile.channels) * tile.warps * 32 / (tile.pixels * channels)


def a_value_between(g: depthwise.Geometry, out: int, tile: separable.Tile, code: Code, images: int = 128) -> float:
    """Return the thread instructions that fall to one element of what lies between the two convolutions."""
    once, again = len(code.instructions) - loop(code), loop(code) * math.ceil(g.channels / tile.depth)
    lanes = images * math.ceil(g.out[0] / tile.rows) * g.out[1]
    programs = math.ceil(lanes / tile.lanes) * math.ceil(out / tile.channels)
    return (once + again) * programs * tile.warps * 32 / (images * g.out[0] * g.out[1] * g.channels)


def an_output(count: int, height: int, width: int, channels: int, tile: depthwise.Tile) -> float:
    """Return the thread instructions that fall to one element of a map, where a program takes `count`."""
    programs = math.ceil(height / tile.rows) * math.ceil(width / tile.columns) * math.ceil(channels / tile.channels)
    return count * programs * tile.warps * 32 / (height * width * channels)


def row(layer_: tuple[int, int, int, int], name: str, code: Code, per: float, bytes_: float) -> dict:
    """Return one row of the record; the bound is the share of the bandwidth floor that perfect issue would reach."""
    return {
        "kernel": name,
        "layer": dict(zip(("channels", "size", "kernel", "stride"), layer_)),
        "registers": code.registers,
        "spilled_bytes": code.spilled,
        "shared_bytes": code.shared,
        "load_bits": code.widest("LDG"),
        "instructions_an_output": round(per, 1),
        "budget": round(ISSUE * bytes_ / BANDWIDTH, 1),
        "bound": round(min(1.0, ISSUE * bytes_ / BANDWIDTH / per), 2),
    }


def record() -> list[dict]:
    """Compile every layer's kernels for sm_90 and count."""
    rows = []
    for layer_ in LAYERS:
        g = layer(*layer_)
        c, (oh, ow), (h, w) = g.channels, g.out, g.size
        moved = 2 * (1 + h * w / (oh * ow))  # bytes of input and output for one output
        tile = depthwise.forward_tile(g)
        code = forward(g, tile)
        rows.append(row(layer_, "forward", code, an_output(len(code.instructions), oh, ow, c, tile), moved))
        tile = depthwise.grads_tile(g)
        code = grads(g, tile)
        per = an_output(loop(code), -(-h // g.stride[0]), -(-w // g.stride[1]), c, tile)
        rows.append(row(layer_, "grads", code, per, moved + 2 * h * w / (oh * ow)))
    for *layer_, out in SEPARABLE:
        g = layer(*layer_)
        tile = separable.tile_for(g, out)
        code = both(g, out, tile)
        moved = 2 * (g.size[0] * g.size[1] / (g.out[0] * g.out[1]) + out / g.channels)
        found = row(tuple(layer_), "separable", code, a_value_between(g, out, tile, code), moved)
        rows.append(found | {"layer": found["layer"] | {"out": out}})
    for channels, out, size in POINTWISE:
        tile = pointwise.tile_for(out, channels)
        for before in ("", "gate", "clamp"):
            code = product(channels, out, tile, before=before)
            layer_, per = (channels, size, 1, 1), a_value_read(channels, out, tile, code)
            found = row(layer_, " ".join(filter(None, ("pointwise", before))), code, per, 2 * (1 + out / channels))
            rows.append(found | {"layer": found["layer"] | {"out": out}})
    return rows


def main() -> None:
    rows = record()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"what": __doc__.split("\n")[0], "triton": triton.__version__, "rows": rows}, indent=1) + "\n"
    )
    for r in rows:
        print(*r["layer"].values(), r["kernel"], *list(r.values())[2:])


if __name__ == "__main__":
    main()
