"""The operators of the language: one class an operator, one file a family."""

from archdsl.ops import act, conv, merge, norm, pool, regular, reshape
from archdsl.ops._op import OPS

__all__ = ["OPS", "act", "conv", "merge", "norm", "pool", "regular", "reshape"]
