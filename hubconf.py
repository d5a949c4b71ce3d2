"""The gallery for `torch.hub`: `torch.hub.load("OWNER/archdsl", "resnet50", classes=10)`; needs torch and jinja2.

An entry takes what `archdsl.load` takes behind the name, `weights="resnet50.pth"` or `classes=10`, and
`pretrained=True` for torchvision's weights, where it has the network.
"""

from __future__ import annotations

from functools import cache
from typing import Any

dependencies = ["jinja2", "torch"]


@cache
def _names() -> tuple[str, ...]:
    from archdsl.report.gallery import entries

    return tuple([entry.name for entry in entries()])


def __dir__() -> list[str]:
    return ["dependencies", *_names()]


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in _names():
        raise AttributeError(f"the gallery has no network `{name}`")
    import archdsl

    def entry(*, pretrained: bool = False, **given: Any) -> Any:
        if pretrained:
            from archdsl.run.vision import declared

            declared()
            from torchvision.models import get_model_weights

            given["weights"] = get_model_weights(name).DEFAULT
        return archdsl.load(name, **given)

    entry.__name__ = name
    entry.__doc__ = f"Return `{name}`, by `archdsl.load`:\n\n{archdsl.load.__doc__}"
    return entry
