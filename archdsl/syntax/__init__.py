"""Text to tree and back: the lexer, the parser and its tables, the printer, the names of a text."""
