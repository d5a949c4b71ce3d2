"""Many networks from one text: sweeps, searches, closed forms."""
