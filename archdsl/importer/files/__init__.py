"""Files that hold networks, as modules: Darknet's `.cfg`, a program of `torch.export`, ONNX, Ultralytics' YAML.

None of them is run: each is read, and its steps are calls of PyTorch that stand here. What came of a file is a module
like any other, so that one way leads on from it (`archdsl/importer`).
"""
