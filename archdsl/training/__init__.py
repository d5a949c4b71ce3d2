"""Training: recipes as data, images from a folder or a package, and one loop over PyTorch that can be resumed."""
