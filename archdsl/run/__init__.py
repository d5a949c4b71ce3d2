"""A network as a module of PyTorch: loading it, and weights from files."""
