"""What everything stands on: immutable values, places in texts, exact sizes, windows."""
