"""Images with classes: a folder in torchvision's layout, or real images that come in packages.

`digits` are scikit-learn's 1797 digits of 8x8 pixels (Alpaydin and Kaynak, 1998). They are in the order in which they
were written, by 13 people; the last fifth is held out, so that mostly other people wrote it.

`photographs` are tiles of 32x32 pixels of ten photographs in the packages of scikit-learn and scikit-image, each
scaled to 384 rows; the class is the photograph. Tiles don't overlap, and those of the right quarter are held out: no
pixel is seen twice, but both parts are of the same light and the same camera. It says whether training works, not how
well it would do on other photographs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from archdsl.core.record import Record
from archdsl.diagnostics.extras import Needing
from archdsl.run.mistakes import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which published weights were trained with
HELD_OUT = 0.2  # of a folder without parts of its own, and of the digits
VALIDATION = ("val", "valid", "validation", "test")  # what the folder of held-out images may be called
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
HEIGHT, TILE, RIGHT = 384, 32, 0.25  # of the photographs: rows, pixels of a tile, the part that is held out


class Data(Record):
    """Images with their classes: two sequences of pairs, an image (uint8 [C, H, W], or PIL's) and its class's number.

    `mean` and `std` are what images are normalized by where a recipe does not say it; `told` says how they are split.
    """

    name: str
    train: Sequence[tuple[Any, int]]
    val: Sequence[tuple[Any, int]]
    classes: tuple[str, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    told: str
    mark: str = ""  # of which images these are, so that a run goes on with the same ones

    unequal = ("train", "val")


def data(given: str | os.PathLike[str] | Data, seed: int = 0) -> Data:
    """Return a data set by its name, or of a folder: `digits`, `photographs` or a path.

    A folder has the parts `train` and `val`, each with a folder of images a class; or it has the folders of classes
    itself. Then a fifth of each class is held out, at least one image: those whose paths have the smallest SHA-256
    together with the `seed`. Raises `TrainingError` where there are no images in such folders.
    """
    if isinstance(given, Data):
        return given
    path = os.fspath(given)
    if path in PACKAGED:
        return PACKAGED[path]()
    if not os.path.isdir(path):
        raise TrainingError(f"`{path}` is no folder of images, and no data set of ours ({', '.join(PACKAGED)})")
    return _folder(path, seed)


# -------------------------------------------------------------------------------------------------- a folder
class Files(Sequence[tuple[Any, int]]):
    """Images in files, read when they are asked for, as RGB."""

    def __init__(self, root: str, found: list[tuple[str, int]]) -> None:
        self.root, self.found = root, found

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, index: Any) -> Any:
        from PIL import Image

        path, label = self.found[index]
        with Image.open(os.path.join(self.root, path)) as image:
            return image.convert("RGB"), label


def _folder(path: str, seed: int) -> Data:
    held = next((name for name in VALIDATION if os.path.isdir(os.path.join(path, name))), "")
    if held and os.path.isdir(os.path.join(path, "train")):
        classes = _classes(os.path.join(path, "train"))
        unknown = sorted(set(_classes(os.path.join(path, held))) - set(classes))
        if unknown:
            raise TrainingError(f"`{path}` has the class `{unknown[0]}` in {held}, and not in train")
        train, val = _images(path, classes, "train"), _images(path, classes, held)
        told = f"the folders train and {held}"
    else:
        classes = _classes(path)
        train, val = _split(_images(path, classes), seed)
        told = f"a fifth of each class is held out, by seed {seed}"
    if len(classes) < 2 or not train or not val:
        raise TrainingError(f"`{path}` holds no images of two classes or more, in a folder each")
    mark = hashlib.sha256(repr((train, val)).encode()).hexdigest()[:16]
    name = os.path.basename(os.path.abspath(path))
    return Data(name, Files(path, train), Files(path, val), tuple(classes), 3, MEAN, STD, told, mark)


def _classes(path: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))


def _images(root: str, classes: list[str], part: str = "") -> list[tuple[str, int]]:
    """Return the paths of images below a folder, each with its class, in order."""
    found = []
    for number, name in enumerate(classes):
        for folder, _, files in os.walk(os.path.join(root, part, name)):
            there = os.path.relpath(folder, root).replace(os.sep, "/")
            found += [(f"{there}/{file}", number) for file in files if file.lower().endswith(SUFFIXES)]
    return sorted(found)


def _split(found: list[tuple[str, int]], seed: int) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return what is for training and what is held out, a fifth of each class, by the hash of its path."""

    def drawn(one: tuple[str, int]) -> str:
        return hashlib.sha256(f"{seed}/{one[0]}".encode()).hexdigest()

    held: set[tuple[str, int]] = set()
    for label in {label for _, label in found}:
        own = sorted([one for one in found if one[1] == label], key=drawn)
        held.update(own[: max(1, round(HELD_OUT * len(own)))])
    return [one for one in found if one not in held], [one for one in found if one in held]


# -------------------------------------------------------------------------------------------------- in packages
def digits() -> Data:
    """Return scikit-learn's digits, uint8 [1, 8, 8]."""
    with Needing("the data set `digits`"):
        from sklearn.datasets import load_digits
    found = load_digits()
    images = (torch.tensor(found.images).unsqueeze(1) * 255 / 16).round().to(torch.uint8)
    pairs = list(zip(images, found.target.tolist()))
    held = round(HELD_OUT * len(pairs))
    told = f"the last {held}, in the order in which they were written, are held out"
    classes = tuple([str(digit) for digit in range(10)])
    return Data("digits", pairs[:-held], pairs[-held:], classes, 1, (0.305,), (0.376,), told)


def photographs() -> Data:
    """Return tiles of photographs, uint8 [3, 32, 32]."""
    train: list[tuple[Any, int]] = []
    val: list[tuple[Any, int]] = []
    found = _photographs()
    for label, image in enumerate(found.values()):
        rows, columns = image.shape[1] // TILE, image.shape[2] // TILE
        border = columns - round(RIGHT * columns)
        for column in range(columns):
            part = train if column < border else val
            part += [(_tile(image, row, column), label) for row in range(rows)]
    told = "tiles of the right quarter of each photograph are held out"
    return Data("photographs", train, val, tuple(found), 3, MEAN, STD, told)


def _tile(image: torch.Tensor, row: int, column: int) -> torch.Tensor:
    return image[:, row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE].contiguous()


def _photographs() -> dict[str, torch.Tensor]:
    """Return photographs by name, uint8 [3, 384, W]; all of them lie in the packages."""
    with Needing("the data set `photographs`"):
        from skimage import data as scikit
        from sklearn.datasets import load_sample_image
    from archdsl.training.vision import v2

    names = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket")
    found = {name: getattr(scikit, name)() for name in names}
    found |= {"motorcycle": scikit.stereo_motorcycle()[0]}
    found |= {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    images = {name: torch.tensor(array).permute(2, 0, 1).contiguous() for name, array in sorted(found.items())}
    return {
        name: v2.functional.resize(image, [HEIGHT, round(image.shape[2] * HEIGHT / image.shape[1])])
        for name, image in images.items()
    }


PACKAGED: dict[str, Callable[[], Data]] = {"digits": digits, "photographs": photographs}
