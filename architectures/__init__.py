"""Bundled networks, one file a family."""
