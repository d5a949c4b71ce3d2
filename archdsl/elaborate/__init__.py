"""A tree to a checked network: expressions, operators, pipelines, nets."""
