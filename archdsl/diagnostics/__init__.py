"""What is said of a text: diagnostics as data, the catalogue of them, and how one is drawn."""

from archdsl.diagnostics.diagnostic import CompileError, Diagnostic, Help, Label, Note

__all__ = ["CompileError", "Diagnostic", "Help", "Label", "Note"]
