"""A checked network to Python: see `docs/architecture.md` for the order of the files."""
