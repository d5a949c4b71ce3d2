"""Networks as files that other programs run: ONNX, PyTorch's `.pt2`, and OpenVINO's own.

sizes    which sizes of inputs a file takes: legal ones, and those it is tried at
about    what a file says of itself: name, text, parameters, legal sizes
formats  how each format is written, read and run, and how it is rounded to int8
int8     what layers lose in int8, and what a whole file does
export   all of it: from a name or a module to a file that was held to PyTorch
"""

from archdsl.deploy.export import Exported, How, export, written
from archdsl.run.mistakes import ExportFailed

__all__ = ["ExportFailed", "Exported", "How", "export", "written"]
