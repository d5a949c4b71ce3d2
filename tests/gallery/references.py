"""The public implementation of each bundled network that has one: torchvision's, timm's, pytorchcv's, ultralytics'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.gallery.yolo import YOLOv8


class Reference:
    """A public network, the options of ours that make it the same, and the size of the images that compare them."""

    def __init__(self, library: str, name: str, size: int = 96, ours: dict[str, Any] | None = None, **options: Any):
        self.library, self.name, self.size, self.ours, self.options = library, name, size, ours or {}, options
        self.tables = name.startswith(("coatnet", "maxvit", "swin"))  # of indices, which are computed

    def __repr__(self) -> str:
        return f"{self.library}'s {self.name}"

    def build(self) -> nn.Module:
        """Return the network without weights, on the meta device where it computes nothing of its own."""
        with torch.device("cpu" if self.tables else "meta"):
            return BUILDERS[self.library](self.name, **self.options)


def _torchvision(name: str, **options: Any) -> nn.Module:
    import torchvision

    if name.startswith("regnet"):  # whose widths are computed with tensors
        with torch.device("cpu"):
            return torchvision.models.get_model(name, weights=None, **options).to("meta")
    return torchvision.models.get_model(name, weights=None, **options)


def _pyramid(name: str) -> nn.Module:
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    return resnet_fpn_backbone(backbone_name=name, weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5)


def _retinanet(name: str) -> nn.Module:
    from torchvision.models import detection

    return Heads(getattr(detection, name)(weights=None, weights_backbone=None))


class Heads(nn.Module):
    """A detector of torchvision before its anchors: what its heads say at every place of every level."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        scores, boxes = self.head.classification_head, self.head.regression_head
        levels = dict(enumerate(self.backbone(x).values(), 3))
        found = {f"scores{i}": scores.cls_logits(scores.conv(level)) for i, level in levels.items()}
        return found | {f"boxes{i}": boxes.bbox_reg(boxes.conv(level)) for i, level in levels.items()}


def _timm(name: str, **options: Any) -> nn.Module:
    import timm

    return timm.create_model(name, **options)


def _pytorchcv(name: str, **options: Any) -> nn.Module:
    from pytorchcv.model_provider import get_model

    return get_model(name, **options)


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "torchvision": _torchvision,
    "torchvision.fpn": _pyramid,
    "torchvision.detection": _retinanet,
    "timm": _timm,
    "pytorchcv": _pytorchcv,
    "ultralytics": YOLOv8,
}

REFERENCES = {
    **{
        name: Reference("torchvision", name)
        for name in """alexnet vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn resnet18 resnet34 resnet50
        resnet101 resnet152 resnext50_32x4d resnext101_32x8d wide_resnet50_2 wide_resnet101_2 densenet121 densenet161
        densenet169 densenet201 squeezenet1_0 squeezenet1_1 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small
        shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 efficientnet_b0 efficientnet_b1
        efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7
        mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3 convnext_tiny convnext_small convnext_base
        convnext_large efficientnet_v2_s efficientnet_v2_m efficientnet_v2_l regnet_x_400mf regnet_x_800mf
        regnet_x_1_6gf regnet_x_3_2gf regnet_x_8gf regnet_x_16gf regnet_x_32gf regnet_y_400mf regnet_y_800mf
        regnet_y_1_6gf regnet_y_3_2gf regnet_y_8gf regnet_y_16gf regnet_y_32gf""".split()
    },
    **{name: Reference("torchvision", name, 224) for name in "vit_b_16 vit_b_32 vit_l_16 vit_l_32 vit_h_14".split()},
    "lraspp_mobilenet_v3_large": Reference("torchvision", "lraspp_mobilenet_v3_large", 65, weights_backbone=None),
    **{
        name: Reference("timm", name)
        for name in "mobileone_s0 mobileone_s1 mobileone_s2 mobileone_s3 mobileone_s4".split()
    },
    **{name: Reference("timm", name, 128) for name in "mobilevit_s mobilevit_xs mobilevit_xxs".split()},
    "googlenet": Reference("torchvision", "googlenet", init_weights=False, aux_logits=True),
    "inception_v3": Reference("torchvision", "inception_v3", 128, init_weights=False, aux_logits=True),
    "fcn_resnet50": Reference("torchvision", "fcn_resnet50", 65, weights_backbone=None, aux_loss=True),
    "fcn_resnet101": Reference("torchvision", "fcn_resnet101", 65, weights_backbone=None, aux_loss=True),
    "retinanet_resnet50": Reference("torchvision.detection", "retinanet_resnet50_fpn", 130),
    **{f"yolov8_{size}": Reference("ultralytics", size, 96) for size in "nsmlx"},
    "fpn_resnet18": Reference("torchvision.fpn", "resnet18", 65),
    "fpn_resnet50": Reference("torchvision.fpn", "resnet50", 65),
    "deeplabv3_resnet50": Reference("torchvision", "deeplabv3_resnet50", 65, weights_backbone=None, aux_loss=True),
    "deeplabv3_resnet101": Reference("torchvision", "deeplabv3_resnet101", 65, weights_backbone=None, aux_loss=True),
    **{
        name: Reference("timm", name)
        for name in """repvgg_a0 repvgg_a1 repvgg_a2 repvgg_b0 repvgg_b1 repvgg_b1g4 repvgg_b2 repvgg_b3 ghostnet_050
        ghostnet_100 ghostnet_130 hrnet_w18_small hrnet_w18_small_v2 hrnet_w18 hrnet_w32 hrnet_w40
        hrnet_w48 hrnet_w64 res2net50_26w_4s res2net101_26w_4s res2net50_26w_6s res2net50_26w_8s res2net50_48w_2s
        res2net50_14w_8s vovnet39a vovnet57a ese_vovnet39b ese_vovnet57b ese_vovnet99b darknet53
        cspdarknet53 seresnet50 seresnet101 seresnet152 seresnext50_32x4d seresnext101_32x4d seresnext101_32x8d
        convmixer_1536_20 convmixer_768_32 convmixer_1024_20_ks9_p14 dla34 dla46_c dla60 dla102 dla169 dla60x dpn68
        dpn92 dpn98 dpn107 dpn131 convnextv2_atto convnextv2_femto convnextv2_pico convnextv2_nano convnextv2_tiny
        convnextv2_base resnest14d resnest26d resnest50d resnest101e""".split()
    },
    **{
        f"mobilenet_v4_{s}": Reference("timm", f"mobilenetv4_conv_{s}", drop_rate=0.2)
        for s in ("small", "medium", "large")
    },
    "inception_v4": Reference("timm", "inception_v4", 128),
    "inception_resnet_v2": Reference("timm", "inception_resnet_v2", 128),
    "xception": Reference("timm", "legacy_xception"),
    "mobilenet_v1": Reference("timm", "mobilenetv1_100"),
    "alexnet_2012": Reference("pytorchcv", "alexnet", 227, {"groups": 1}),
    **{
        f"{name}_cifar": Reference("pytorchcv", f"{name}_cifar10", 32)
        for name in """wrn16_10 wrn28_10 wrn40_8 pyramidnet110_a48 pyramidnet110_a84 pyramidnet110_a270""".split()
    },
    "coatnet_0": Reference("timm", "coatnet_0_rw_224", 224),
    "coatnet_1": Reference("timm", "coatnet_1_rw_224", 224),
    "maxvit_t": Reference("torchvision", "maxvit_t", 224),
    "swin_t": Reference("torchvision", "swin_t", 100),
    "swin_s": Reference("torchvision", "swin_s", 224),
    "swin_b": Reference("torchvision", "swin_b", 130),
    **{name: Reference("pytorchcv", name, 224) for name in "hardnet39ds hardnet68ds hardnet68 hardnet85".split()},
    "sknet50": Reference("pytorchcv", "sknet50", 224),
    "sknet101": Reference("pytorchcv", "sknet101", 224),
    "zfnet": Reference("pytorchcv", "zfnet", 224),
    "zfnet_wide": Reference("pytorchcv", "zfnetb", 224),
    "nin": Reference("pytorchcv", "nin_cifar10", 32),
    "inception_v2": Reference("pytorchcv", "bninception", 224),
    "inception_resnet_v1": Reference("pytorchcv", "inceptionresnetv1", 299),
    "resnet50_paper": Reference("pytorchcv", "resnet50", 224),
    "resnet101_paper": Reference("pytorchcv", "resnet101", 224),
    "resnet152_paper": Reference("pytorchcv", "resnet152", 224),
    "resnet20_cifar": Reference("pytorchcv", "resnet20_cifar10", 32, {"option": '"B"'}),
    "resnet56_cifar": Reference("pytorchcv", "resnet56_cifar10", 32, {"option": '"B"'}),
    "resnet110_cifar": Reference("pytorchcv", "resnet110_cifar10", 32, {"option": '"B"'}),
    "preresnet18": Reference("pytorchcv", "preresnet18", 224),
    "preresnet34": Reference("pytorchcv", "preresnet34", 224),
    "preresnet50": Reference("pytorchcv", "preresnet50b", 224),
    "preresnet101": Reference("pytorchcv", "preresnet101b", 224),
    "preresnet152": Reference("pytorchcv", "preresnet152b", 224),
    "preresnet20_cifar": Reference("pytorchcv", "preresnet20_cifar10", 32),
    "preresnet110_cifar": Reference("pytorchcv", "preresnet110_cifar10", 32),
    "preresnet164_cifar": Reference("pytorchcv", "preresnet164bn_cifar10", 32),
    "densenet_bc_40_cifar": Reference("pytorchcv", "densenet40_k12_bc_cifar10", 32),
    "densenet_bc_100_cifar": Reference("pytorchcv", "densenet100_k12_bc_cifar10", 32),
    "squeezenet1_0_simple": Reference("pytorchcv", "squeezeresnet_v1_0", 224),
    **{f"shufflenet_v1_g{g}": Reference("pytorchcv", f"shufflenet_g{g}_w1", 224) for g in (1, 2, 3, 4, 8)},
}


def filled(model: nn.Module) -> nn.Module:
    """Give a network on the meta device small random weights, without its own slow initialization."""
    tables = {name: value for name, value in model.named_buffers() if not (value.is_meta or value.is_floating_point())}
    model = model.to_empty(device="cpu")
    for name, value in model.named_buffers():
        if name in tables:
            value.copy_(tables[name])
    generator = torch.Generator().manual_seed(0)
    for key, value in model.state_dict().items():
        if key.endswith("num_batches_tracked"):
            value.zero_()
        elif not value.is_floating_point():
            continue
        elif key.endswith("running_var") or (value.dim() == 1 and key.endswith("weight")):
            value.uniform_(0.5, 1.5, generator=generator)
        else:
            fan = max(1, value[0].numel()) if value.dim() > 1 else 100
            value.uniform_(-1, 1, generator=generator).mul_((3 / fan) ** 0.5)
    return model


def results(found: Any) -> dict[str, torch.Tensor]:
    """Return what a network returns by the name of each output here."""
    if isinstance(found, torch.Tensor):
        return {"out": found}
    names = {"logits": "out", "aux_logits2": "aux2", "aux_logits1": "aux1"}
    pyramid = {str(i): f"p{i + 2}" for i in range(4)}
    pairs = found._asdict().items() if hasattr(found, "_asdict") else found.items()
    return {(names | pyramid).get(key, key): value for key, value in pairs if value is not None}
