"""The checked network: what it is, what holds of it, what it computes, and when its values live."""
