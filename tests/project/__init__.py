"""The package, the documents and the benchmarks themselves."""
