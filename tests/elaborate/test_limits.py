"""Every documented limit: what is at it is fine, and one more is a mistake with its place."""

from __future__ import annotations

import pytest

from archdsl import project
from archdsl.analysis import legal
from archdsl.analysis.memory import inference
from archdsl.cli.main import main
from archdsl.codegen import module, plans
from archdsl.codegen.module import emit
from archdsl.compiler import compile_text
from archdsl.core import sizes
from archdsl.diagnose import survey
from archdsl.diagnostics import CompileError
from archdsl.elaborate import arithmetic, builtins, context, nets, operators, requirements, weight
from archdsl.ops import base
from archdsl.report.check import report
from archdsl.report.manual import LIMITS
from archdsl.syntax import lexer, parser
from tests.properties.timing import answer_within

HEAD = "net n:\n    input image: [N, 3, H=32, W=32]\n"


# For each limit: a text of that number, the number that is just fine, and what one more is: a code, a line, a word there.
CASES = {
    ("archdsl.project", "MAX_BYTES"): (
        lambda n: f"{HEAD}    relu  #" + "#" * (n - len(HEAD) - 11), project.MAX_BYTES, "E0108", 1, ""),
    ("archdsl.syntax.lexer", "MAX_BRACKETS"): (
        lambda n: f"{HEAD}    {'(' * n}relu{')' * n}\n", lexer.MAX_BRACKETS, "E0106", 3, "("),
    ("archdsl.syntax.parser", "MAX_DEPTH"): (
        lambda n: f"{HEAD}    v = {'-' * n}1\n    relu\n", parser.MAX_DEPTH - 2, "E0106", 3, "v = ---"),
    ("archdsl.syntax.parser", "MAX_TOKENS"): (
        lambda n: f"{HEAD}    v = [{'1,' * (n // 2)}]\n    relu\n", parser.MAX_TOKENS - 30, "E0212", 3, "1"),
    ("archdsl.syntax.parser", "MAX_DIGITS"): (
        lambda n: f"{HEAD}    v = {'0' * n}\n    relu\n", parser.MAX_DIGITS, "E0211", 3, "000"),
    ("archdsl.elaborate.context", "MAX_WORK"): (
        lambda n: f"{HEAD}    for i in range({n * 16 // 49}):\n        v = i + 1\n    relu\n", context.MAX_WORK - 60, "E0212", 4, ""),
    ("archdsl.elaborate.weight", "MAX_PARTS"): (
        lambda n: f"{HEAD}    a = [0] * {n // 4}\n    v = [a, a, a, a]\n    relu\n", weight.MAX_PARTS - 12, "E0212", 4, "[a, a,"),
    ("archdsl.elaborate.weight", "MAX_NESTED"): (
        lambda n: f"{HEAD}    v0 = [1]\n" + "".join(f"    v{i + 1} = [v{i}]\n" for i in range(n)) + "    relu\n",
        weight.MAX_NESTED, "E0106", weight.MAX_NESTED + 4, "[v100]"),
    ("archdsl.elaborate.context", "MAX_CALLS"): (
        lambda n: f"block b(n):\n    if n > 1:\n        b(n - 1)\n    relu\n{HEAD}    b({n})\n", context.MAX_CALLS, "E0218", 3, "b(n - 1)"),
    ("archdsl.elaborate.arithmetic", "MAX_BITS"): (
        lambda n: f"{HEAD}    v = 2**{n - 1} - 1 + 2**{n - 1}\n    relu\n", arithmetic.MAX_BITS, "E0211", 3, "2**63"),
    ("archdsl.elaborate.builtins", "MAX_ITEMS"): (
        lambda n: f"{HEAD}    v = [0] * {n}\n    relu\n", builtins.MAX_ITEMS, "E0212", 3, "[0] *"),
    ("archdsl.elaborate.operators", "MAX_NODES"): (
        lambda n: HEAD + "    relu\n" * n, operators.MAX_NODES, "E0212", operators.MAX_NODES + 3, "relu"),
    ("archdsl.elaborate.nets", "MAX_SIZE"): (
        lambda n: f"net n:\n    input image: [N, 3, H={n}, W=1]\n    relu\n", nets.MAX_SIZE, "E0226", 2, "16777217"),
    ("archdsl.core.sizes", "MAX_PERIOD"): (
        lambda n: f"net n:\n    input image: [N, 3, H=99999, W=1]\n    maxpool(({n}, 1))\n", sizes.MAX_PERIOD, "E0304", 3, "maxpool"),
    ("archdsl.elaborate.requirements", "MAX_RELATIONS"): (
        lambda n: f'{HEAD}    require x.height in range({n}), "small maps"\n', requirements.MAX_RELATIONS, "E0212", 3, "x.height in"),
    ("archdsl.ops.base", "MAX_INT"): (
        lambda n: f"{HEAD}    flatten -> linear({n})\n", base.MAX_INT, "E0205", 3, "2147483649"),
    ("archdsl.ops.base", "MAX_REAL"): (
        lambda n: f"{HEAD}    scale({'1e38' if n == base.MAX_REAL else '1.1e38'})\n", base.MAX_REAL, "E0205", 3, "1.1e38"),
}  # fmt: skip
OTHERS = {  # each with a test of its own
    ("archdsl.project", "MAX_IMPORTS"), ("archdsl.diagnose.survey", "MAX_NODES"), ("archdsl.codegen.plans", "MAX_STEPS"),
    ("archdsl.codegen.module", "MAX_LAYERS"), ("archdsl.analysis.legal", "MAX_PIECES"), ("archdsl.report.check", "MAX_ROWS"),
}  # fmt: skip


def test_every_limit_has_a_test():
    assert {(module, constant) for module, constant, _ in LIMITS} == {*CASES, *OTHERS}


@pytest.mark.parametrize("limit", CASES, ids=lambda limit: limit[1])
def test_at_the_limit_and_one_over(limit):
    text, most, code, line, word = CASES[limit]
    report(compile_text(text(most)).network)
    over = most + {"MAX_TOKENS": 60, "MAX_WORK": 200, "MAX_PARTS": 16}.get(limit[1], 1)  # several at a time
    over = 2 * most if isinstance(most, float) else over
    with pytest.raises(CompileError) as caught:
        compile_text(text(over))
    diagnostic = caught.value.diagnostic
    assert (diagnostic.code, diagnostic.primary.span.line) == (code, line)
    assert diagnostic.primary.span.text.startswith(word)


def test_files_that_import_one_another(tmp_path, capsys):
    most = project.MAX_IMPORTS
    (tmp_path / f"f{most}.arch").write_text(f"block c{most}:\n    relu\n")
    for number in range(most):
        text = f"from f{number + 1} import c{number + 1}\nblock c{number}:\n    relu\n"
        (tmp_path / f"f{number}.arch").write_text(text)
    (tmp_path / "n.arch").write_text(f"from f1 import c1\n{HEAD}    c1\n")
    assert main(["check", str(tmp_path / "n.arch")]) == 0
    (tmp_path / "n.arch").write_text(f"from f0 import c0\n{HEAD}    c0\n")
    assert main(["check", "--format", "short", str(tmp_path / "n.arch")]) == 1
    out = capsys.readouterr().out
    assert f"f{most - 1}.arch:1:1: error[E0212]: files import one another too deeply" in out


def test_a_recursion_that_python_ends_before_its_limit(tmp_path, capsys):
    deep = "".join("    " * i + "cat:\n" for i in range(1, 40))
    path = tmp_path / "n.arch"
    path.write_text(f"block f(n):\n{deep}{'    ' * 40}f(n)\n{HEAD}    f(0)\n")
    assert main(["check", "--format", "short", str(path)]) == 1
    assert "error[E0106]" in capsys.readouterr().out


@pytest.mark.parametrize("more", ["", ", m=q"])
def test_a_net_that_is_one_of_its_own_parameters(more, tmp_path, capsys):
    path = tmp_path / "n.arch"
    path.write_text(f"{HEAD.replace('n:', 'a(l, m=[]):')}    relu\n\nnet b = a([[(1, [[b, 2]], 3)]]{more})\n")
    assert main(["check", "--format", "short", str(path)]) == 1
    assert "error[E0106]" in capsys.readouterr().out


def test_networks_of_a_file_together(tmp_path, capsys):
    nets = survey.MAX_NODES // (1000 + context.NET)
    block = "block b:\n" + "    relu\n" * 999
    one = "net n{0}:\n    input i: [N, 1{0}, H=8, W=8]\n    b\n"  # one shape is checked once for all nets
    path = tmp_path / "n.arch"
    path.write_text(block + "".join(map(one.format, range(nets + 1))))
    assert main(["check", str(path)]) == 0
    path.write_text(block + "".join(map(one.format, range(nets + 2))))
    assert main(["check", "--format", "short", str(path)]) == 1
    assert f"n.arch:{1001 + 3 * (nets + 1)}:1: error[E0212]" in capsys.readouterr().out


def test_steps_of_a_network_that_is_compiled():
    text = HEAD + "    relu\n" * plans.MAX_STEPS
    emit(compile_text(text).network)
    network = compile_text(text + "    relu\n").network
    for what in (emit, inference):
        with pytest.raises(CompileError, match="too many distinct steps") as caught:
            what(network)
        assert (caught.value.diagnostic.code, caught.value.diagnostic.primary.span.line) == ("E0212", 1)


def test_layers_of_a_network_that_is_compiled():
    block = "block a:\n    relu * 1000\nblock b:\n    a * 100\n"
    text = f"{block}{HEAD}    b * {module.MAX_LAYERS // 100_000}\n"
    assert emit(compile_text(text).network).text
    with pytest.raises(CompileError, match="too many modules") as caught:
        emit(compile_text(text + "    relu\n").network)
    assert (caught.value.diagnostic.code, caught.value.diagnostic.primary.span.line) == ("E0212", 5)


def test_rows_of_a_table(tmp_path, capsys):
    """Few distinct steps that occur often: they are counted at once, and only a table would list each."""
    double = "".join(f"block b{i + 1}:\n    b{i} -> relu -> b{i} -> bn\n" for i in range(20))
    path = tmp_path / "n.arch"
    path.write_text(f"block b0:\n    conv(3, 3) -> bn\n{double}{HEAD}    b20\n")
    assert answer_within(1, lambda: main(["check", str(path)])) == 0
    for form in (["--shapes"], ["--format", "json"]):
        assert answer_within(4, lambda form=form: main(["check", *form, str(path)])) == 1
        assert "too many layers for a table" in "".join(capsys.readouterr())


def test_pieces_of_legal_sizes():
    def text(*strides: int) -> str:
        lines = [
            f"    output o{s} = image -> cat(maxpool(({s}, 1)) -> upsample(({s}, 1)), identity)\n" for s in strides
        ]
        return f"net n:\n    input image: [N, 3, H={256 * 255 * 257}, W=1]\n{''.join(lines)}    relu\n"

    assert 256 * 255 <= legal.MAX_PIECES < 256 * 257
    assert [str(one) for one in report(compile_text(text(256, 255)).network).legal] == [
        "H divisible by 65280",
        "W: any size",
    ]
    with pytest.raises(CompileError, match="no short pattern") as caught:
        report(compile_text(text(256, 257)).network)
    assert (caught.value.diagnostic.code, caught.value.diagnostic.primary.span.line) == ("E0304", 4)
