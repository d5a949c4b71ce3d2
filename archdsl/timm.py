"""The gallery for timm: `import archdsl.timm` registers its classifiers, `archdsl_resnet50` and so on.

    import timm, archdsl.timm

    model = timm.create_model("archdsl_resnet50", num_classes=10, in_chans=1, pretrained=True)
    backbone = timm.create_model("archdsl_resnet50", features_only=True, out_indices=(1, 2, 3, 4), output_stride=8)

What timm's arguments mean is what they mean there; further ones are parameters of the net, `norm="gn(32)"`. Published
weights are torchvision's where it has the network, and else timm's own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import archdsl
from archdsl.compiler import Request, compiled
from archdsl.core.sizes import Size
from archdsl.diagnostics.extras import Needing
from archdsl.ir.network import Scope
from archdsl.report.gallery import entries
from archdsl.run.load import load
from archdsl.run.mistakes import WeightsError
from archdsl.run.origin import origin_of
from archdsl.run.vision import declared

declared()

with Needing("`archdsl.timm`"):
    import timm.models as models
    import torchvision.models as theirs
    from timm.models import FeatureInfo, PretrainedCfg, generate_default_cfgs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network

    Step = tuple[str, int, int]  # its name, channels, and how many times coarser than the image it is

PREFIX = "archdsl_"
# Networks with other results than the scores of classes of one image.
OTHERS = ("deconvnet", "deeplabv3", "fcn", "fpn", "lraspp", "segnet", "unet")
ELSEWHERE = {  # what timm calls a network
    "coatnet_0": "coatnet_0_rw_224",
    "coatnet_1": "coatnet_1_rw_224",
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v4_large": "mobilenetv4_conv_large",
    "mobilenet_v4_medium": "mobilenetv4_conv_medium",
    "mobilenet_v4_small": "mobilenetv4_conv_small",
    "xception": "legacy_xception",
}
# Trained on images that are normalized by 0.5: torchvision's classes convert others, `transform_input`.
HALVES = ("googlenet", "inception_v3")
__all__: list[str] = []  # which timm fills


def published(name: str) -> PretrainedCfg:
    """Return where weights of a network of the gallery are published, and how images are prepared for them."""
    other = ELSEWHERE.get(name, name)
    if name in _TORCHVISION:
        return _of_torchvision(name)
    known = models.get_pretrained_cfg(other) if models.is_model(other) else None
    if known is None or not known.hf_hub_id:
        return PretrainedCfg()
    return replace(known, architecture=None, tag=None, first_conv=None, classifier=None, url=None)


def _of_torchvision(name: str) -> PretrainedCfg:
    weights = theirs.get_model_weights(name).DEFAULT
    words = weights.transforms.keywords
    side = words["crop_size"]
    half = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)} if name in HALVES else {}
    how = words["interpolation"].value if "interpolation" in words else "bilinear"
    crop = side / words.get("resize_size", 256)
    return PretrainedCfg(url=weights.url, input_size=(3, side, side), crop_pct=crop, interpolation=how, **half)


def create(
    name: str,
    pretrained: bool = False,
    pretrained_cfg: str | dict[str, Any] | PretrainedCfg | None = None,
    pretrained_cfg_overlay: dict[str, Any] | None = None,
    cache_dir: str | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    features_only: bool = False,
    out_indices: int | Sequence[int] | None = None,
    output_stride: int | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    **params: Any,
) -> nn.Module:
    """Return a network of the gallery as timm's `create_model` does; `params` are parameters of the net.

    Dropout and stochastic depth are those of the text, whose parameters change them: the rates of timm's scripts are
    taken where they are 0. Raises `ValueError` for others, `archdsl.WeightsError` where no weights are published.
    """
    if drop_rate or drop_path_rate:
        raise ValueError(f"{name} has its rates of dropping in its text: give its own parameter, if it has one")
    params |= {} if num_classes is None else {"classes": num_classes}
    config = models.resolve_pretrained_cfg(PREFIX + name, pretrained_cfg, pretrained_cfg_overlay)
    weights = _weights(name, config, cache_dir) if pretrained else None
    how = {"weights": weights, "in_channels": in_chans, "output_stride": output_stride, **params}
    if features_only:
        return Features(name, how, out_indices)
    model = load(name, **how)
    _dressed(model, replace(config, input_size=_input_size(model), num_classes=_classes(model, num_classes)))
    return model


def _dressed(model: nn.Module, config: PretrainedCfg) -> None:
    """Give a network what timm's scripts look for in one."""
    model.pretrained_cfg = model.default_cfg = config.to_dict()
    model.num_classes = config.num_classes
    model.reset_classifier = partial(_reset, model)
    model.get_classifier = partial(_classifier, model)


def _reset(model: nn.Module, num_classes: int, global_pool: str | None = None) -> None:
    """Give a network a new head; its pool is that of its text."""
    archdsl.reset_classifier(model, num_classes)
    model.num_classes = num_classes


def _classifier(model: nn.Module) -> nn.Module:
    """Return the head of a network; one without classes has none."""
    origin = origin_of(model)
    heads = origin.heads if origin is not None else ()
    return model.get_submodule(heads[-1]) if heads else nn.Identity()


def _classes(model: nn.Module, asked: int | None) -> int:
    """Return the number of classes: what was asked for, or what the head gives."""
    head = _classifier(model)
    return asked if asked is not None else int(getattr(head, "out_features", 0) or getattr(head, "out_channels", 0))


def _input_size(model: nn.Module) -> tuple[int, ...]:
    origin = origin_of(model)
    assert origin is not None, "`load` has made it"
    return tuple([int(dim) for dim in origin.inputs[0][1][1:]])


def _weights(name: str, config: PretrainedCfg, cache_dir: str | None) -> Any:
    """Return weights as `archdsl.load` takes them, in timm's order: given ones, a file, the hub, a URL."""
    if config.state_dict:
        return config.state_dict
    if config.file:
        return config.file
    if config.hf_hub_id:
        return config.hf_hub_id
    if config.url:
        return torch.hub.load_state_dict_from_url(
            config.url, model_dir=cache_dir, map_location="cpu", progress=False, check_hash=True
        )
    raise WeightsError(f"no published weights of {name} are known: `pretrained_cfg_overlay=dict(file=...)` gives some")


# -------------------------------------------------------------------------------------------------- features
class Features(nn.Module):
    """A network that returns its maps, from the finest to the coarsest: the last one of each size.

    `feature_info` says their names, channels and how many times coarser than the image they are, as timm's does.
    """

    def __init__(self, name: str, how: dict[str, Any], out_indices: int | Sequence[int] | None) -> None:
        super().__init__()
        params = {key: value for key, value in how.items() if key not in ("weights", "in_channels", "output_stride")}
        plain = Request(None, params, (), how["in_channels"])
        names = [step for step, *_ in maps(compiled(name, plain).network)]
        scope = compiled(name, plain.replace(outputs=names, output_stride=how["output_stride"])).network.scope
        shapes = [scope.shapes[output.value] for output in scope.outputs]
        info = [_told(step, shape) for step, shape in zip(names, shapes)]
        taken = _taken(out_indices, len(info))
        self.feature_info = FeatureInfo(info, tuple(taken))
        self.model = load(name, outputs=[names[i] for i in taken], **how)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps of images [N, C, H, W]."""
        found = self.model(x)
        return [found] if isinstance(found, torch.Tensor) else list(found)


def _told(step: str, shape: Shape) -> dict[str, Any]:
    """Return what timm wants to know of a map."""
    return {"module": step, "num_chs": int(shape[1]), "reduction": _stride(shape)}


def _taken(asked: int | Sequence[int] | None, count: int) -> list[int]:
    """Return the numbers of maps that are asked for: all, the last so many, or these; negative ones count back."""
    given = range(-asked, 0) if isinstance(asked, int) else range(count) if asked is None else asked
    if not given or not all(-count <= number < count for number in given):
        raise ValueError(f"`out_indices` is {asked}, and there are {count} maps")
    return [number % count for number in given]


def maps(network: Network) -> list[Step]:
    """Return the last step of each size of map that a network has, from the finest to the coarsest.

    >>> maps(compiled("resnet18").network)
    [('2', 64, 2), ('layer1', 64, 4), ('layer2', 128, 8), ('layer3', 256, 16), ('layer4', 512, 32)]
    """
    last = {stride: (name, channels, stride) for name, channels, stride in _steps(network.scope, "", 1)}
    return [last[stride] for stride in sorted(last)]


def _steps(scope: Scope, path: str, before: int) -> Iterator[Step]:
    """Yield the steps of a scope that give maps, with those of what shrinks a map more than once."""
    for node in scope.nodes:
        if not node.outputs or not node.name:
            continue
        shape = scope.shapes[node.outputs[0]]
        stride, place = _stride(shape), path + node.name
        if isinstance(node.what, Scope) and (stride or before) > 2 * before and not node.reuses:
            yield from _steps(node.what, f"{place}.", before)
        elif stride:
            yield place, int(shape[1]), stride
        before = stride or before


def _stride(shape: Shape) -> int:
    """Return how many times coarser than the image a map is; 0 for what is no such map."""
    if len(shape) != 4 or not isinstance(shape[2], Size) or not isinstance(shape[3], Size):
        return 0
    step = shape[2].period / shape[2].slope if shape[2].slope else 0
    return int(step) if step == int(step) and step >= 1 else 0


# -------------------------------------------------------------------------------------------------- registered
def _entry(name: str) -> Any:
    """Return what timm calls for a network of the gallery."""

    def made(pretrained: bool = False, **given: Any) -> nn.Module:
        return create(name, pretrained, **given)

    made.__name__ = made.__qualname__ = PREFIX + name
    made.__doc__ = f"Return `{name}` of the gallery of archdsl; see `archdsl.timm.create`."
    made.__module__ = __name__
    return models.register_model(made)


_TORCHVISION = frozenset(theirs.list_models(module=theirs))
NAMES = tuple([entry.name for entry in entries() if not entry.name.startswith(OTHERS)])
default_cfgs = generate_default_cfgs({PREFIX + name: published(name) for name in NAMES})
for _name in NAMES:
    globals()[PREFIX + _name] = _entry(_name)
