"""The length of the gallery beside the same families in torchvision, in lines of code: no blanks, comments, docstrings."""

from __future__ import annotations

import ast
import inspect
import io
import textwrap
import tokenize

from archdsl import project
from archdsl.project import Project
from archdsl.syntax import tree

FAMILIES = {
    "alexnet": "alexnet",
    "vgg16": "vgg",
    "googlenet": "googlenet",
    "inception_v3": "inception",
    "resnet50": "resnet",
    "densenet121": "densenet",
    "squeezenet1_0": "squeezenet",
    "mobilenet_v2": "mobilenetv2",
    "mobilenet_v3_large": "mobilenetv3",
    "shufflenet_v2_x1_0": "shufflenetv2",
    "efficientnet": "efficientnet",
    "fcn_resnet50": "segmentation.fcn segmentation._utils",
    "fpn": "detection.backbone_utils",
    "swin": "swin_transformer",
}
# Networks in these files that torchvision does not have; each also has the blocks that only it uses.
FURTHER = {"alexnet_2012", "googlenet_paper", "fcn_vgg16", "fcn32s", "fcn16s", "fcn8s", "densenet_bc_100_cifar"} | {
    "densenet_bc_40_cifar", "squeezenet1_0_simple", "squeezenet1_0_complex"
}  # fmt: skip


def python_lines(source: str) -> int:
    """Count the lines of Python code."""
    tree = ast.parse(source)
    docs: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            docs.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING):
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docs)


def arch_lines(stem: str) -> int:
    """Count the lines of a file of the gallery, without the networks that torchvision does not have."""
    file = Project().open(project.path_of(stem))
    left_out: set[int] = set()
    if file.module.doc:
        text = file.source.text
        left_out.update(range(1, text.count("\n", 0, text.index('"""', 3)) + 2))
    for item in file.module.items:
        if isinstance(item, (tree.Net, tree.Alias)) and item.name in FURTHER:
            first = item.span.line
            last = first + file.source.text[item.span.start : item.span.end].rstrip().count("\n")
            left_out.update(range(first, last + 1))
    lines = enumerate(file.source.text.split("\n"), 1)
    return sum(1 for number, line in lines if line.split("#")[0].strip() and number not in left_out)


def test_the_gallery_is_twelve_times_shorter_than_torchvision(torchvision_models):
    from importlib import import_module

    from torchvision.models._utils import IntermediateLayerGetter, _make_divisible
    from torchvision.ops import StochasticDepth, feature_pyramid_network, misc, stochastic_depth

    theirs = [
        inspect.getsource(import_module(f"torchvision.models.{m}")) for ms in FAMILIES.values() for m in ms.split()
    ]
    shared = (IntermediateLayerGetter, _make_divisible, misc.ConvNormActivation, misc.Conv2dNormActivation)
    shared += (misc.SqueezeExcitation, stochastic_depth, StochasticDepth)
    theirs += [textwrap.dedent(inspect.getsource(item)) for item in shared]
    theirs.append(inspect.getsource(feature_pyramid_network))
    total = sum(map(python_lines, theirs))
    ours = sum(map(arch_lines, FAMILIES))
    print(f"{ours} lines for torchvision's {total}: {total / ours:.1f} times shorter")
    assert total >= 12 * ours
