"""Networks as pictures: a tree of boxes (`boxes`), placed (`layers`, `scales`) on a `page`, written as `svg`."""
