"""Operators that torchvision's wheel lacks beside a CPU torch: its import looks for them, and no network calls them."""

from archdsl.run.vision import declared as declared
