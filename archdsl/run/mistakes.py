"""What can be said of weights; needs no torch, so that `except archdsl.WeightsError` does not either."""

from __future__ import annotations


class WeightsError(ValueError):
    """Weights that do not fit the network, or cannot be read."""


class WeightsWarning(UserWarning):
    """Weights that fit but for an end of the network, which is new or was adapted."""
