"""Costs as formulas: in the input size exactly, in a parameter of the net by interpolation that is then verified.

The input size needs no guess: costs are quasi-polynomials by construction (`archdsl.analysis.forms`). A parameter can
enter a text anywhere, through rounding and conditions, so nothing is proved about it: each coefficient is interpolated
through as many values as a polynomial of degree 4 needs, and compared at further ones: some steps on, and so far away
that a text which rounds has come to its next number. Where the text rounds, this holds on multiples of a step only,
which the formula states; where no step fits, there is no formula, and that is said.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from archdsl.analysis.forms import closed, polynomial_text
from archdsl.diagnostics import CompileError
from archdsl.explore.sweep import Evaluation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from archdsl.analysis.forms import Form, Polynomial
    from archdsl.ir.network import Network

DEGREE = 4  # two for the channels on both sides of a convolution, and some to see that it is not more
CHECKS = (5, 6, 7, 11)  # further steps at which an interpolation must hold
FAR = (1, 3, 8, 21)  # and what is added to the value it starts from, and to its multiples, for values far away
FURTHEST = 97  # and the steps to the furthest
STEPS = tuple(Fraction(2) ** power for power in range(-5, 4))
NAMES = {"macs": "MACs", "params": "parameters", "bytes": "bytes"}


def in_sizes(network: Network) -> Iterator[str]:
    """Yield lines: each cost as a function of N and the input sizes, and as a polynomial where no size is rounded."""
    form = closed(network)
    yield f"parameters = {form.params}"
    for name in ("macs", "bytes"):
        yield f"{NAMES[name]} = {_with_batch(form[name].text(), form[name].once)}"
    symbols = symbols_of(network)
    if not symbols:
        return
    periods = {s: max(form.macs.period(s), form.bytes.period(s)) for s in symbols}
    yield ""
    yield f"where {' and '.join(f'{s} is a multiple of {p}' for s, p in periods.items())}:"
    for name in ("macs", "bytes"):
        polynomial = form[name].polynomial(symbols, (0,) * len(symbols))
        yield f"{NAMES[name]} = {_with_batch(polynomial_text(polynomial, symbols), form[name].once)}"
    if not form.free:
        yield "the net itself is fixed to some sizes: `archdsl check --shapes` shows what depends on them"


def in_parameter(evaluation: Evaluation, name: str, start: Fraction) -> Iterator[str]:
    """Yield lines: each cost as a polynomial in a parameter and the input sizes, for multiples of a step."""
    fit = fitted(evaluation, name, start)
    if fit is None:
        yield f"no closed form in `{name}`: the net is rounded or built differently; `archdsl sweep` has the values"
        return
    step, found = fit
    symbols = symbols_of(_network(evaluation, name, start))
    yield f"for `{name}` in steps of {step} from {start}, and {' and '.join(symbols)} that no stride rounds"
    yield "(one image; interpolated, and verified at further values):"
    for figure, polynomial in found.items():
        yield f"{NAMES[figure]} = {polynomial_text(polynomial, (name, *symbols))}"


def fitted(
    evaluation: Evaluation,
    name: str,
    start: Fraction,
    *,
    steps: Sequence[Fraction] = STEPS,
    at_default: bool = False,
) -> tuple[Fraction, dict[str, Polynomial]] | None:
    """Return a step of a parameter, and each cost as a polynomial in it and the sizes; None where there is none.

    It holds where no stride rounds a size, or, `at_default`, where each is rounded as the default is.
    """
    for step in steps:
        networks = _networks(evaluation, name, start, step)
        found = {figure: _fitted(networks, figure, at_default) for figure in NAMES} if networks else {}
        complete = {figure: polynomial for figure, polynomial in found.items() if polynomial is not None}
        if len(complete) == len(NAMES) and _far_too(evaluation, name, (start, step), complete, at_default):
            return step, complete
    return None


def _with_batch(text: str, once: int) -> str:
    """Return the cost of a batch of N: for each image, and once."""
    per_image = f"N*({text})" if " " in text else f"N*{text}"
    return f"{per_image} + {once}" if once else per_image


def symbols_of(network: Network) -> tuple[str, ...]:
    """Return the names of the input sizes, without the batch."""
    return tuple(symbol.name for symbol in network.symbols if symbol.name != "N")


def _network(evaluation: Evaluation, name: str, value: Fraction) -> Network:
    plain: Any = int(value) if value.denominator == 1 else float(value)
    return evaluation.network(((name, plain),))


def _networks(evaluation: Evaluation, name: str, start: Fraction, step: Fraction) -> dict[Fraction, Network]:
    """Return the net at the values that an interpolation takes, those for checks last; none if one is refused."""
    values = [start + k * step for k in (*range(DEGREE + 1), *CHECKS)]
    try:
        return {value: _network(evaluation, name, value) for value in values}
    except CompileError:
        return {}


def _far_too(
    evaluation: Evaluation,
    name: str,
    values: tuple[Fraction, Fraction],
    found: dict[str, Polynomial],
    at_default: bool,
) -> bool:
    """Say whether polynomials hold far from the start, too: `int(width / 2)` is constant for many a step of 1/32.

    The values are a start and a step. A net that is refused there, as one with too many layers is, tells nothing.
    """
    start, step = values
    counts = [ceil((far + (far // 2) * abs(start)) / step) for far in FAR]
    for count in (*counts, FURTHEST):
        value = start + step * count
        try:
            network = _network(evaluation, name, value)
        except CompileError:
            continue
        if any(_at(found[figure], value) != _coefficients(network, figure, at_default) for figure in found):
            return False
    return True


def _at(polynomial: Polynomial, value: Fraction) -> Polynomial:
    """Return a polynomial in a parameter and the sizes at a value of the parameter: one in the sizes."""
    found: Polynomial = {}
    for (power, *others), factor in polynomial.items():
        exponents = tuple(others)
        found[exponents] = found.get(exponents, Fraction(0)) + factor * value**power
    return {exponents: factor for exponents, factor in found.items() if factor}


def _fitted(networks: dict[Fraction, Network], figure: str, at_default: bool) -> Polynomial | None:
    """Return a figure as a polynomial in the parameter and the input sizes; None where there is none."""
    known = {value: _coefficients(network, figure, at_default) for value, network in networks.items()}
    found: Polynomial = {}
    for exponents in {e for coefficients in known.values() for e in coefficients}:
        points = {value: row.get(exponents, Fraction(0)) for value, row in known.items()}
        line = _interpolated(dict(list(points.items())[: DEGREE + 1]))
        if any(sum(c * x**power for power, c in enumerate(line)) != y for x, y in points.items()):
            return None
        found |= {(power, *exponents): c for power, c in enumerate(line) if c}
    return found


def _coefficients(network: Network, figure: str, at_default: bool) -> Polynomial:
    form: Form = closed(network)[figure]
    symbols = symbols_of(network)
    defaults = {symbol.name: symbol.default for symbol in network.symbols}
    found = form.polynomial(symbols, tuple([defaults[name] if at_default else 0 for name in symbols]))
    constant = (0,) * len(symbols)
    found |= {constant: found.get(constant, Fraction(0)) + form.once}
    return {exponents: factor for exponents, factor in found.items() if factor}


def _interpolated(points: dict[Fraction, Fraction]) -> list[Fraction]:
    """Return the coefficients, constant first, of the polynomial through points (Lagrange)."""
    total = [Fraction(0)] * len(points)
    for x, y in points.items():
        basis, scale = [Fraction(1)], y
        for other in points:
            if other != x:
                basis = [a - other * b for a, b in zip([Fraction(0), *basis], [*basis, Fraction(0)])]
                scale /= x - other
        total = [t + scale * b for t, b in zip(total, basis)]
    return total
