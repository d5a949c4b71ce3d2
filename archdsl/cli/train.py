"""`archdsl train`: a network on a folder of images, or on a data set of a package, by a recipe."""

from __future__ import annotations

import os
import sys
import warnings

from archdsl.cli.options import add_name, names_of, natural, positive, settings_of
from archdsl.cli.status import TROUBLE, YES
from archdsl.diagnostics.extras import Needing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_name(parser)
    data = "a folder of images, in train/CLASS and val/CLASS or in CLASS alone; or digits, photographs"
    parser.add_argument("--data", required=True, metavar="DATA", help=data)
    parser.add_argument("-o", "--output", required=True, metavar="RUN", help="the folder of the run")
    recipe = "a recipe of ours, such as digits or resnet50, or a .toml file (default: finetune or scratch)"
    parser.add_argument("--recipe", metavar="FILE", help=recipe)
    change = "another value of a field of the recipe, such as lr=0.01"
    parser.add_argument("--change", action="append", default=[], metavar="FIELD=VALUE", help=change)
    parser.add_argument("--epochs", type=positive, metavar="N", help="how often each image is seen")
    weights = "a file of weights, or a repository of the hub (default: random ones)"
    parser.add_argument("--weights", metavar="FILE", help=weights)
    parser.add_argument("--classes", type=positive, metavar="N", help="how many classes (default: those of the data)")
    frozen = "steps that stay as they are, such as conv1,layer[12]"
    parser.add_argument("--freeze", default="", metavar="A,B", help=frozen)
    parser.add_argument("--freeze-until", metavar="STEP", help="the step before which all stays as it is")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder, if there is one")
    parser.add_argument("--save-every", type=positive, metavar="STEPS", help="keep the state between epochs, too")
    parts = "run the batch of a process in so many parts, for memory"
    parser.add_argument("--parts", type=positive, default=1, metavar="N", help=parts)
    parser.add_argument("--device", help="cpu, cuda or cuda:1 (default: a GPU, if there is one)")
    workers = "processes that read images (default: 0, the one that trains)"
    parser.add_argument("--workers", type=natural, default=0, metavar="N", help=workers)
    parser.add_argument("--tensorboard", action="store_true", help="write files for TensorBoard, too")
    parser.add_argument("--net", help="the net to take, where a file has several")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the net")


def run(options: Namespace) -> int:
    """Train, and say where the best network is; what is new or was adapted of the weights goes to stderr."""
    with Needing("`archdsl train`"):
        from archdsl.run.mistakes import TrainingError, WeightsError, WeightsWarning
        from archdsl.training.train import train
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", WeightsWarning)
            warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
            made = train(options.name, options.data, options.recipe, **_arguments(options))
    except FileNotFoundError as problem:
        print(f"error: no file `{problem.filename}`", file=sys.stderr)
        return TROUBLE
    except (TrainingError, WeightsError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return TROUBLE
    if os.environ.get("RANK", "0") == "0":  # the first of the processes that torchrun has started
        print(made)
    return YES


def _arguments(options: Namespace) -> dict[str, Any]:
    """Return what `archdsl.train` is given by name."""
    from archdsl.training.recipe import changes

    changed = changes(options.change) | ({"epochs": options.epochs} if options.epochs else {})
    return {
        "folder": options.output,
        "changes": changed,
        "weights": options.weights,
        "classes": options.classes,
        "freeze": names_of(options.freeze),
        "until": options.freeze_until,
        "resume": options.resume,
        "device": options.device,
        "workers": options.workers,
        "save_every": options.save_every or 0,
        "parts": options.parts,
        "tensorboard": options.tensorboard,
        "net": options.net,
        **settings_of(options.set),
    }
