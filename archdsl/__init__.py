"""archdsl: convolutional networks written the way their papers describe them.

    model = archdsl.load("resnet50").to("cuda")         # a bundled network as an `nn.Module`
    model = archdsl.load("mine.arch", classes=10)       # a file of yours
    model = archdsl.loads(text)                         # a text

    archdsl.nets("resnet*")                             # what there is
    archdsl.draw("unet").save("unet.svg")               # a picture on one page; notebooks show it
    checked = archdsl.check("densenet121")              # exact shapes, parameters and MACs, without torch
    bill = archdsl.cost("densenet121", optimizer="sgd") # operations, bytes and memory, layer by layer
    legal = archdsl.legal_sizes("densenet121")          # which sizes it accepts
    archdsl.diff("resnet50", "resnet101")               # what lies between two networks
    source = archdsl.compile("densenet121")             # Python that needs only torch
    found = archdsl.sweep("mobilenet_v1", width=[0.5, 1])   # what each setting costs
    fast = archdsl.optimize(model)                      # for inference: norms folded, epilogues fused
    fast = archdsl.optimize(model, engine="auto")       # by the fastest of PyTorch, ONNX Runtime and OpenVINO here
    archdsl.export("resnet50", "resnet50.onnx", dynamic=True)   # for other programs, held to PyTorch

    archdsl.compress(model, "small.archz", density=0.1, train=train)    # pruned, shared, coded: 3 % of its size

    found = archdsl.import_module(module, (1, 3, 224, 224)) # anybody's module as a text, proved equal

    model = archdsl.load("resnet18", classes=10, weights="resnet18.pth")   # all but the head
    archdsl.freeze(model, until="layer3")               # and train what is left
    archdsl.train("resnet18", "photos", folder="run")   # on a folder of images, by a recipe, to be resumed
    archdsl.save(model, "mine.safetensors")             # text and weights in one file, which `load` takes
    groups = archdsl.parameter_groups(model, lr=1e-3)   # earlier stages by smaller steps

Only what makes modules or takes them imports torch, when it is first used: `pip install "archdsl[torch]"` brings it.
"""

from __future__ import annotations

import importlib
import os

# In a checkout `grammars`, `architectures` and `kernels` lie beside this package; an installation has them in it.
if not os.path.isdir(os.path.join(__path__[0], "grammars")):
    __path__.append(os.path.dirname(__path__[0]))

from archdsl.diagnostics import CompileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.api import check, compile, cost, diff, draw, legal_sizes, nets  # noqa: A004 — the public name is the verb
    from archdsl.compression.compress import compress, decompress
    from archdsl.deploy.export import export
    from archdsl.explore.search import search
    from archdsl.explore.sweep import Range, sweep
    from archdsl.importer import import_module
    from archdsl.inference import optimize
    from archdsl.run.custom import operator
    from archdsl.run.load import load, loads
    from archdsl.run.mistakes import (
        ExportFailed,
        ImportFailed,
        InputError,
        TrainingError,
        WeightsError,
        WeightsWarning,
    )
    from archdsl.run.save import save
    from archdsl.run.transfer import freeze, parameter_groups, reset_classifier, unfreeze
    from archdsl.training.train import train

__version__ = "0.1.0"
__all__ = [
    "CompileError", "ExportFailed", "ImportFailed", "InputError", "Range", "TrainingError", "WeightsError",
    "WeightsWarning", "__version__", "check", "compile", "compress", "cost", "decompress", "diff", "draw", "export",
    "freeze", "import_module", "legal_sizes", "load", "loads", "nets", "operator", "optimize", "parameter_groups",
    "reset_classifier", "save", "search", "sweep", "train", "unfreeze",
]  # fmt: skip


HOMES = {
    "archdsl.api": ("check", "compile", "cost", "diff", "draw", "legal_sizes", "nets"),
    "archdsl.compression.compress": ("compress", "decompress"),
    "archdsl.deploy.export": ("export",),
    "archdsl.explore.search": ("search",),
    "archdsl.explore.sweep": ("Range", "sweep"),
    "archdsl.importer": ("import_module",),
    "archdsl.inference": ("optimize",),
    "archdsl.notebook": ("load_ipython_extension",),  # which IPython asks for by this name
    "archdsl.run.custom": ("operator",),
    "archdsl.run.load": ("load", "loads"),
    "archdsl.run.mistakes": (
        "ExportFailed", "ImportFailed", "InputError", "TrainingError", "WeightsError", "WeightsWarning",
    ),
    "archdsl.run.save": ("save",),
    "archdsl.run.transfer": ("freeze", "parameter_groups", "reset_classifier", "unfreeze"),
    "archdsl.training.train": ("train",),
}  # fmt: skip


def __getattr__(name: str) -> object:
    """Import what is first used: the compiler takes 70 ms, torch a second."""
    for home, names in HOMES.items():
        if name in names:
            return _imported(home, name)
    raise AttributeError(f"module `archdsl` has no attribute `{name}`")


def _imported(home: str, name: str) -> object:
    """Import a public name; without torch, what needs it is a function that says so, so that the rest can be listed."""
    from archdsl.diagnostics.extras import MissingPackage, Needing

    try:
        with Needing(f"`archdsl.{name}`"):
            found = globals()[name] = getattr(importlib.import_module(home), name)
            return found
    except MissingPackage as missing:
        mistake = missing

    def unavailable(*_: object, **__: object) -> None:
        raise mistake

    unavailable.__name__ = unavailable.__qualname__ = name
    unavailable.__doc__ = str(mistake)
    return unavailable


def __dir__() -> list[str]:
    return __all__
