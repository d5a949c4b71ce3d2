"""What else is wrong in a text that has a mistake, what would mend it, and advice for one that has none."""
