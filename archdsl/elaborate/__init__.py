"""A tree to a checked network: expressions, operators, pipelines, nets, as functions over a context."""

from archdsl.elaborate import nets as nets  # the whole package, as each file adds its forms to the tables of others
