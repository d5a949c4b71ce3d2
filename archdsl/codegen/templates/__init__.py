"""Templates of generated Python."""
