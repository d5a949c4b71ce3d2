"""The operators of the language: one class an operator, one file a family."""

from archdsl.ops import conv
from archdsl.ops._op import OPS

__all__ = ["OPS", "conv"]
