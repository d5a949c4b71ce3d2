.DEFAULT_GOAL := help
PYTHON ?= python

help:  ## print this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12

check: lint types contracts test  ## everything a change must pass

lint:  ## style and banned imports
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:  ## strict types of the package
	$(PYTHON) -m mypy

contracts:  ## the layers of the architecture
	lint-imports

test:  ## the ordinary tests
	$(PYTHON) -m pytest -q -n auto

slow:  ## the exhaustive tests, minutes long
	$(PYTHON) -m pytest -q -m slow

golden:  ## rewrite the golden files; then read the difference
	$(PYTHON) -m pytest -q tests --update-golden

grammar:  ## rebuild the parse tables after a change of the grammar
	$(PYTHON) -c 'from archdsl.syntax.grammar import write; print("wrote", write())'

gallery:  ## rewrite the table of the bundled networks that `archdsl list` prints
	$(PYTHON) -c 'from archdsl.report.gallery import write; print("wrote", write())'

manual:  ## rewrite the generated sections of the docs
	$(PYTHON) -m archdsl.report.manual

mutations:  ## break gallery files one token at a time: where do diagnostics point?
	$(PYTHON) -m benchmarks.mutations

editors:  ## rewrite the grammars and queries that editors colour texts by
	$(PYTHON) -m archdsl.report.textmate
	$(PYTHON) -m archdsl.report.treesitter

extension:  ## build the extension for VS Code with the server in it, editors/vscode/*.vsix; needs npm
	$(PYTHON) -m editors.vscode.bundle editors/vscode/server
	cd editors/vscode && npm install --ignore-scripts --no-audit --no-fund --no-package-lock && npm run package

tree-sitter:  ## make the parser of editors/tree-sitter-archdsl again after a change of its grammar; needs tree-sitter
	cd editors/tree-sitter-archdsl && tree-sitter generate --no-bindings --abi 14 && \
	  rm -f package.json src/node-types.json src/grammar.json src/tree_sitter/array.h && sha256sum grammar.js > src/made-of

playground:  ## build the page that runs the compiler in a browser, in build/playground; needs npm
	$(PYTHON) -m editors.playground.build build/playground

pictures:  ## redraw the pictures in docs/drawings.md
	for net in resnet50 densenet121 inception_v3 unet fpn_resnet50; do archdsl draw $$net -o docs/pictures/$$net.svg; done
	archdsl diff resnet50 resnext50_32x4d -o docs/pictures/diff.svg; test -s docs/pictures/diff.svg

screenshots:  ## take the picture of VS Code in docs/editors.md again; needs npm and chromium
	$(PYTHON) docs/screenshots.py

figures:  ## recount the published figures in docs/figures.md
	$(PYTHON) docs/figures.py

format:  ## format the sources
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

fuzz:  ## try 200,000 inputs that nobody would write, in parts: an hour of one core
	$(PYTHON) -m benchmarks.fuzz

faults:  ## plant mistakes in the product: which test finds each? an hour of one core
	$(PYTHON) -m benchmarks.faults --record
	$(PYTHON) -m benchmarks.faults

programs:  ## run 2,000 well-formed programs at random in every way there is: a quarter of an hour of one core
	$(PYTHON) -m benchmarks.programs

bench:  ## time `archdsl check` and `sweep` beside the counters that people use
	$(PYTHON) -m benchmarks.check
	$(PYTHON) -m benchmarks.sweep

bench-networks:  ## time `archdsl.optimize` beside eager, torch.fx, inductor, ONNX Runtime and OpenVINO
	$(PYTHON) -m benchmarks.networks

bench-gpu:  ## time layers, networks and training on a GPU, in eight minutes
	$(PYTHON) -m benchmarks.gpu

release:  ## build and check what is published, and run it in a clean environment
	PATH="$$(dirname "$$(command -v $(PYTHON))"):$$PATH" .ci/release

.PHONY: screenshots extension tree-sitter playground release pictures editors help check lint types contracts test slow golden grammar gallery manual format bench bench-networks bench-gpu fuzz programs faults
