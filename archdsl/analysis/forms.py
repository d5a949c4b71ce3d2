"""Costs as functions of the input size: exact closed forms, rounding included.

A cost is a sum of products of sizes, and a size is a quasi-linear function of H or W (`archdsl.core.sizes`), so a cost
is a quasi-polynomial: for each residue of H and W modulo the strides it is a polynomial. `Form` keeps the products; it
is evaluated at any size in microseconds, printed as it stands, or as the polynomial of one residue.
"""

from __future__ import annotations

from fractions import Fraction

from archdsl.analysis.costs import parameters
from archdsl.core.record import Record
from archdsl.core.sizes import Area, Size
from archdsl.ir.liveness import LONG
from archdsl.ir.network import Scope
from archdsl.ir.walk import once, runs
from archdsl.ops.base import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.sizes import Dim, Shape
    from archdsl.ir.network import Network, Node

    Terms = dict[tuple[Size, ...], int]
    Polynomial = dict[tuple[int, ...], Fraction]  # exponents of the symbols, in order

ELEMENT = 4  # bytes of float32


class Form:
    """A sum of products of sizes with integer factors, for each image, and what counts `once` for a batch.

    >>> from archdsl.compiler import compiled
    >>> closed(compiled("lenet5").network)["macs"].at({"H": 32, "W": 32})
    416520
    """

    __slots__ = ("once", "terms")

    def __init__(self, terms: Terms | None = None, once: int = 0) -> None:
        self.terms: Terms = terms or {}
        self.once = once

    def add(self, dim: Dim, times: int = 1) -> None:
        """Add a dim, so many times."""
        if isinstance(dim, int):
            key: tuple[Size, ...] = ()
            factor = dim
        elif isinstance(dim, Size):
            key, factor = (dim,), 1
        else:
            key, factor = dim.sizes, dim.factor
        self.terms[key] = self.terms.get(key, 0) + factor * times

    def extend(self, other: Form, times: int = 1) -> None:
        """Add another form, so many times."""
        for key, factor in other.terms.items():
            self.terms[key] = self.terms.get(key, 0) + factor * times
        self.once += other.once * times

    def at(self, values: dict[str, int], batch: int = 1) -> int:
        """Return the value at input sizes by the names of their symbols; symbols without one have their default."""
        total = 0
        for sizes, factor in self.terms.items():
            for size in sizes:
                factor *= size.at(values.get(size.symbol.name, size.symbol.default))
            total += factor
        return total * batch + self.once

    def text(self) -> str:
        """Print the form as it stands: `118013952 + 9408*ceil(H/2)*ceil(W/2)`, larger factors first."""
        parts = [(-factor, str(Area(factor, key))) for key, factor in self.terms.items() if factor]
        return " + ".join([text for _, text in sorted(parts)]) or "0"

    def period(self, symbol: str) -> int:
        """Return the number of residues of a symbol that matter."""
        from math import lcm

        return lcm(*[s.period for key in self.terms for s in key if s.symbol.name == symbol])

    def polynomial(self, symbols: tuple[str, ...], residues: tuple[int, ...]) -> Polynomial:
        """Return the polynomial that the form is where each symbol has a residue modulo its period."""
        found: Polynomial = {}
        for sizes, factor in self.terms.items():
            product: Polynomial = {(0,) * len(symbols): Fraction(factor)}
            for size in sizes:
                number = symbols.index(size.symbol.name)
                product = _times(product, _linear(size, residues[number]), number)
            for exponents, value in product.items():
                found[exponents] = found.get(exponents, Fraction(0)) + value
        return {exponents: value for exponents, value in found.items() if value}


def _linear(size: Size, residue: int) -> tuple[Fraction, Fraction]:
    """Return a size as slope and offset, where its symbol has a residue: f(n) = slope*n + offset."""
    slope = Fraction(size.slope, size.period)
    r = residue % size.period
    return slope, size.values[r] - slope * r


def _times(polynomial: Polynomial, line: tuple[Fraction, Fraction], number: int) -> Polynomial:
    found: Polynomial = {}
    for exponents, value in polynomial.items():
        for power, factor in ((1, line[0]), (0, line[1])):
            if factor:
                key = tuple(e + (power if i == number else 0) for i, e in enumerate(exponents))
                found[key] = found.get(key, Fraction(0)) + value * factor
    return found


def polynomial_text(polynomial: Polynomial, symbols: tuple[str, ...]) -> str:
    """Print a polynomial, highest powers first: `5968.75*H*W + 1,280,000`."""
    parts = []
    for exponents, value in sorted(polynomial.items(), key=lambda part: (-sum(part[0]), part[0])):
        names = [s if e == 1 else f"{s}**{e}" for s, e in zip(symbols, exponents) if e]
        parts.append("*".join([_fraction(value), *names]))
    return " + ".join(parts).replace("+ -", "- ") or "0"


def _fraction(value: Fraction) -> str:
    """Print a fraction exactly: as a decimal where it ends, else as a quotient."""
    if value.denominator == 1:
        return f"{value.numerator}"
    decimal = format(float(value), ".15g")
    return decimal if Fraction(decimal) == value else f"({value.numerator}/{value.denominator})"


class Closed(Record):
    """The costs of one scope as forms: parameters, MACs, and bytes (float32, one image, eager).

    `free` says that nothing in it holds for some sizes only, so that it is the same net at every legal size, and runs
    the same kernels.
    """

    params: int
    macs: Form
    bytes: Form
    free: bool

    def __getitem__(self, name: str) -> Form:
        return Form(once=self.params) if name == "params" else getattr(self, name)


class Forms:
    """Adds up the forms of scopes; a scope is looked into once, as long as it is remembered."""

    @once
    def scope(self, scope: Scope) -> tuple[int, Form, bool]:
        """Return the parameters and MACs of one run of a scope, and whether it is the same net at every size."""
        params, macs, free = 0, Form(), not scope.relations and not scope.requirements
        for node, times in runs(scope):
            if isinstance(node.what, Scope):
                inner, form, always = self.scope(node.what)
                params += 0 if node.reuses else inner
                macs.extend(form, times)
                free = free and always
                continue
            params += 0 if node.reuses else parameters(node, scope)
            free = free and "copies" not in node.what.traits
            if times and type(node.what).macs is not Op.macs:
                macs.add(node.what.macs(*_shapes(node, scope)), times)
        return params, macs, free

    @once
    def bytes(self, scope: Scope) -> Form:
        """Return the bytes that one run of a scope reads and writes: eager, float32, one image."""
        found = Form()
        for node, times in runs(scope):
            if isinstance(node.what, Scope):
                found.extend(self.bytes(node.what), times)
            elif times:
                _add_kernels(found, node.what, *_shapes(node, scope), times)
        return found

    @once
    def sizes(self, scope: Scope) -> frozenset[Size]:
        """Return all sizes of maps in a scope: an input is legal where each is at least 1."""
        sizes = {dim for shape in scope.shapes for dim in shape if isinstance(dim, Size)}
        inner = [self.sizes(node.what) for node in scope.nodes if isinstance(node.what, Scope)]
        return frozenset(sizes.union(*inner))

    def legal(self, scope: Scope, values: dict[str, int]) -> bool:
        """Say whether a net that is `free` can be built at an input size."""
        return all(s.at(values.get(s.symbol.name, s.symbol.default)) >= 1 for s in self.sizes(scope))


def _shapes(node: Node, scope: Scope) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
    return tuple([scope.shapes[i] for i in node.inputs]), tuple([scope.shapes[o] for o in node.outputs])


def _add_kernels(form: Form, op: Op, xs: tuple[Shape, ...], ys: tuple[Shape, ...], runs: int) -> None:
    for kernel in op.kernels(xs, ys):
        for dim in (*kernel.reads, *kernel.writes):
            form.add(dim, ELEMENT * runs)
        for dim in (*kernel.long_reads, *kernel.long_writes):
            form.add(dim, LONG * runs)
        form.once += kernel.fixed * ELEMENT * runs
        if isinstance(kernel.once, int):
            form.once += kernel.once * ELEMENT * runs
        else:  # statistics of features whose number depends on the size: exact for one image
            form.add(kernel.once, ELEMENT * runs)
        for dim in (*kernel.fixed_bytes, *kernel.once_bytes):  # so are masks
            form.add(dim, runs)


def closed(network: Network) -> Closed:
    """Return the costs of a network as functions of its input size."""
    forms = Forms()
    params, macs, free = forms.scope(network.scope)
    return Closed(params, macs, forms.bytes(network.scope), free)
