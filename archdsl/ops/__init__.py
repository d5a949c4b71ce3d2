"""The operators of the language: one class an operator, one file a family."""

from archdsl.ops import act, arithmetic, conv, margins, merge, norm, pool, products, reduce, regular, reshape, tokens
from archdsl.ops.base import OPS

__all__ = [
    "OPS", "act", "arithmetic", "conv", "margins", "merge", "norm", "pool", "products", "reduce", "regular", "reshape",
    "tokens",
]  # fmt: skip
