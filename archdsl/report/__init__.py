"""Figures and networks as text: the tables of `check` and `cost`, dumps, the generated manual."""
