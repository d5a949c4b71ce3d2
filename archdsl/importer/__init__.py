"""Networks of other libraries as texts."""
