"""Programs, texts and bytes at random, and what holds of all of them."""
