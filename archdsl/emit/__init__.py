"""Lowering: a checked network to Python that needs only torch.

terms    values in generated code, with the formula they came from
layout   pieces of code, wrapped at 100 columns
classes  which scopes share a class, and what its parameters are
forward  the data flow of one class as statements
start    how the weights are initialized
module   the plan of the whole file, and the template that prints it
"""

from archdsl.emit.module import Emitted, emit, lifetimes

__all__ = ["Emitted", "emit", "lifetimes"]
