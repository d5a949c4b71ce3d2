"""The networks of the gallery by their files, and one of each file: an ordinary run takes these where all take long.

That one is the one of the fewest MACs, or that of the file's own name where it has hardly more.
"""

import pytest

from archdsl import project
from archdsl.compiler import block_of, bundled_nets
from archdsl.report.gallery import entries

FILES = dict(bundled_nets())
MACS = {entry.name: entry.macs for entry in entries()}


def _size(net: str, stem: str) -> float:
    return MACS[net] if net == stem else 1.5 * MACS[net]


LEAST = {stem: net for net, stem in sorted(FILES.items(), key=lambda found: -_size(*found))}  # the last one stays
EVERY = [net if net in LEAST.values() else pytest.param(net, marks=pytest.mark.slow) for net in FILES]

LARGE = ("deconvnet", "unet")  # which take large images only, 10 to 40 s each
# With those they have every operator of the gallery, and every argument that one net of each file gives one, as a test says:
# for what is said of operators and takes the run of a whole network to be seen. Exhaustive runs have the others.
VARIED = """alexnet convnext_tiny convnextv2_atto darknet53 densenet_bc_40_cifar fpn_resnet18 hrnet_w18_small
lraspp_mobilenet_v3_large maxvit_t mobilenet_v1_025 mobilevit_xxs odenet pyramidnet110_a48_cifar resnest14d shufflenet_v1
sknet50 swin_t vit_b_32 zfnet""".split()


def _with_classes() -> set[str]:
    """Return the nets that have a parameter `classes`, itself or of the net that they are a setting of."""
    files = {stem: project.Project().open(project.path_of(stem)) for stem in project.bundled()}
    blocks = [(net, block_of(files[stem], net)) for net, stem in FILES.items()]
    return {net for net, block in blocks if block is not None and "classes" in block.params}


WITH_CLASSES = _with_classes()
