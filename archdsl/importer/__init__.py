"""Networks of other libraries as texts of the language, each proved equal to what it was made of.

A module is run, and every call is written down (`trace`); calls become steps of the language (`calls`), a `graph`;
numbers that depend on the size of the input become what they stand for (`sizes`), modules become scopes with borders
(`clean`), or where there are none, parts between two tensors that all goes through (`regions`); steps become statements
(`structure`), made of `terms`; uses of a class become a block (`unify`, `blocks`, `build`), repetitions are folded
(`fold`), and all of it is printed (`text`). Then it is compared with the module (`verify`), and only then handed over
(`convert`), with rules for the names of weights (`keys`). A file becomes a module first (`files`); what cannot be said
may become Python (`partial`).
"""

from archdsl.importer.convert import Imported, import_module, imported
from archdsl.importer.sources import NoSource, opened
from archdsl.run.mistakes import ImportFailed

__all__ = ["ImportFailed", "Imported", "NoSource", "import_module", "imported", "opened"]
