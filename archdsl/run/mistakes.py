"""What can be said of weights and inputs; needs no torch, so that `except archdsl.WeightsError` does not either."""

from __future__ import annotations

from archdsl.diagnostics.diagnostic import in_short


class WeightsError(ValueError):
    """Weights that do not fit the network, or cannot be read."""

    _render_traceback_ = in_short


class InputError(RuntimeError):
    """An input that a network does not take: of another shape or type, or of a size that is not legal."""

    _render_traceback_ = in_short


class ImportFailed(Exception):
    """A module that becomes no text: what is in the way, and where."""


class ExportFailed(RuntimeError):
    """A network that a format cannot hold, or a file that gives other results than PyTorch."""

    _render_traceback_ = in_short


class WeightsWarning(UserWarning):
    """Weights that fit but for an end of the network, which is new or was adapted."""


class TrainingError(ValueError):
    """What is in the way of training: its recipe, its data, its folder, a loss that is no number."""

    _render_traceback_ = in_short
