"""The language server: what an editor is told of a file, one file a feature; `serve` joins them to the protocol."""
