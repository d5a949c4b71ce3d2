"""The operators of the language: one class an operator, one file a family."""

from archdsl.ops import act, conv, merge, norm, pool, regular, reshape
from archdsl.ops.base import OPS

__all__ = ["OPS", "act", "conv", "merge", "norm", "pool", "regular", "reshape"]
