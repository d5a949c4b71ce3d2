"""What can be wrong with weights; needs no torch, so that `except archdsl.WeightsError` does not either."""

from __future__ import annotations


class WeightsError(ValueError):
    """Weights that do not fit the network."""
