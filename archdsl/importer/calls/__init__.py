"""Calls of PyTorch as steps of the language.

`read` goes over a trace. A function of `TABLE` takes the arguments of one call by PyTorch's own names and returns what
the results are: mostly a node. A tensor need not look as the language's does: a map with the channels last, or with
its channels in groups, is a node that is *shown* in another form, and a step that knows the form takes it back. What no
function knows makes a tensor that is `Unsaid`, with its reason; so is what is made of it. It is an error only where a
result of the network needs it.
"""

from archdsl.importer.calls.table import read

__all__ = ["read"]
