"""The command line: a file a command, found by `main`; `options`, `space` and `show` are what commands share."""
