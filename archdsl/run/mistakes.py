"""What can be wrong with weights and modules; needs no torch, so that `except archdsl.WeightsError` does not either."""

from __future__ import annotations


class WeightsError(ValueError):
    """Weights that do not fit the network, or cannot be read."""


class ImportFailed(Exception):
    """A module that becomes no text: what is in the way, and where."""


class WeightsWarning(UserWarning):
    """Weights that fit but for an end of the network, which is new or was adapted."""
