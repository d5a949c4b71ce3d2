"""Symbolic sizes against brute force: the same arithmetic on many integers."""

from __future__ import annotations

from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archdsl.core.sizes import Area, Size, SizeFault, Symbol, product, symbols, window

settings.register_profile("sizes", max_examples=200, deadline=None, derandomize=True)
settings.load_profile("sizes")

HEIGHT, WIDTH = Symbol("H", 224), Symbol("W", 160)
H: Any = Size.of(HEIGHT)
W: Any = Size.of(WIDTH)

STEPS = {
    "add": lambda d, n: d + n,
    "add to": lambda d, n: n + d,
    "subtract": lambda d, n: d - n,
    "subtract from": lambda d, n: n - d,
    "multiply": lambda d, n: d * n,
    "divide": lambda d, n: d // n,
    "remainder": lambda d, n: d % n,
    "window": lambda d, n: window(d, 3, n, 1),
    "ceil window": lambda d, n: window(d, 3, n, 1, 1, True),
    "up and down": lambda d, n: d - d // n * n,
    "negate": lambda d, n: -d,
}
chains = st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 4)), max_size=4)
growing = st.lists(st.tuples(st.sampled_from(["add", "divide", "multiply", "window"]), st.integers(1, 3)), max_size=4)


def follow(chain: list[tuple[str, int]], start: Any) -> Any:
    """Apply the steps of a chain to a size, or to an integer."""
    for name, n in chain:
        start = STEPS[name](start, n)
    return start


def at(dim: Any, n: int) -> int:
    return dim if isinstance(dim, int) else dim.at(n)


def period(dim: Any) -> int:
    return 1 if isinstance(dim, int) else dim.period


# -------------------------------------------------------------------------------------------------- arithmetic
@given(chains)
def test_a_chain_of_steps(chain: list[tuple[str, int]]) -> None:
    size = follow(chain, H)
    for n in (*range(40), 223, 224, 1000):
        assert at(size, n) == follow(chain, n)
    assert int(size) == follow(chain, 224)


@given(chains, chains)
def test_sums_and_differences_of_sizes(one: list[tuple[str, int]], other: list[tuple[str, int]]) -> None:
    a, b = follow(one, H), follow(other, H)
    for n in range(40):
        assert at(a + b, n) == at(a, n) + at(b, n)
        assert at(a - b, n) == at(a, n) - at(b, n)


@given(chains, chains)
def test_equal_exactly_when_the_same_function(one: list[tuple[str, int]], other: list[tuple[str, int]]) -> None:
    a, b = follow(one, H), follow(other, H)
    inputs = range(2 * period(a) * period(b))
    assert (a == b) == all(at(a, n) == at(b, n) for n in inputs)
    if a == b:
        assert hash(a) == hash(b)
        assert str(a) == str(b)


@given(chains, st.integers(1, 6))
def test_is_multiple_of(chain: list[tuple[str, int]], divisor: int) -> None:
    size = follow(chain, H)
    if isinstance(size, Size):
        assert size.is_multiple_of(divisor) == all(size.at(n) % divisor == 0 for n in range(2 * size.period))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((H + 1) // 2 // 2, (H + 1) // 4),
        (((H + 1) // 2 + 1) // 2, (H + 3) // 4),
        (H // 2 * 2 + H % 2, H),
        (H // 2 + (H + 1) // 2, H),
        (H * 6 // 4, H * 3 // 2),
        (window(window(H, 7, 2, 3), 3, 2, 1), (H + 3) // 4),
        (H - H, 0),
        (H * 4 % 2, 0),
    ],
)
def test_equal_by_different_ways(one: Any, other: Any) -> None:
    assert one == other


def test_sizes_that_only_look_alike() -> None:
    assert H // 2 != (H + 1) // 2
    assert H // 2 * 2 != H
    assert H != W
    assert Size.of(Symbol("H", 224)) != H, "a symbol is itself, whatever its name"


def test_constants_are_integers() -> None:
    assert type(H - H) is int
    assert type(H * 0) is int
    assert type(product([H, 0])) is int


# -------------------------------------------------------------------------------------------------- windows
def count_windows(dim: int, kernel: int, stride: int, pad: int, dilation: int, ceil: bool) -> int:
    """Slide a window along a padded line and count.

    It must end inside the padded line. With `ceil` it is enough that the window before it did not reach the end, and
    that it starts inside the line or its left padding.
    """
    end, reach = dim + 2 * pad, dilation * (kernel - 1) + 1
    if not ceil:
        return sum(start + reach <= end for start in range(0, end, stride))
    return sum(start - stride + reach < end and start < dim + pad for start in range(0, end, stride))


windows = st.tuples(
    st.integers(1, 7), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.booleans()
).filter(lambda w: w[2] <= w[0] // 2)  # fmt: skip


@given(st.integers(1, 40), windows)
def test_window_of_an_integer(dim: Any, w: tuple[int, int, int, int, bool]) -> None:
    assert max(int(window(dim, *w)), 0) == count_windows(dim, *w)


@given(growing, windows)
def test_window_of_a_size(chain: list[tuple[str, int]], w: tuple[int, int, int, int, bool]) -> None:
    size = follow(chain, H)
    for n in range(1, 50):
        assert at(window(size, *w), n) == window(follow(chain, n), *w)


@given(windows, windows)
def test_window_of_a_window(v: tuple[int, int, int, int, bool], w: tuple[int, int, int, int, bool]) -> None:
    for n in range(1, 50):
        assert at(window(window(H, *v), *w), n) == window(window(n, *v), *w)


@pytest.mark.parametrize(("dim", "expected"), [(1, 1), (5, 3), (6, 4), (7, 4)])
def test_the_extra_rule_of_ceil_mode(dim: int, expected: int) -> None:
    """A 2-wide window of step 2 with padding 1: the last one may not start in the right padding."""
    assert window(dim, 2, 2, 1, 1, True) == expected


# -------------------------------------------------------------------------------------------------- bounds
@given(growing, st.integers(-2, 12), st.integers(1, 9))
def test_reaches(chain: list[tuple[str, int]], least: int, start: int) -> None:
    size = follow(chain, H)
    assert isinstance(size, Size)
    for r, n in enumerate(size.reaches(least, start=start)):
        inputs = range(start, start + 20 * size.period)
        assert n == next(m for m in inputs if m % size.period == r and size.at(m) >= least)


def test_reaches_of_sizes_that_do_not_grow() -> None:
    assert (5 - H).reaches(4) == (1,)
    assert (5 - H).reaches(5) == (None,)
    assert (H % 3).reaches(2) == (None, None, 2)


# -------------------------------------------------------------------------------------------------- products
@given(growing, growing, st.integers(1, 6))
def test_products(one: list[tuple[str, int]], other: list[tuple[str, int]], n: int) -> None:
    a, b = follow(one, H), follow(other, W)
    area = product([n, a, b])
    assert isinstance(area, Area)
    assert int(area) == n * int(a) * int(b)
    assert area == b * n * a == a * (b * n)
    assert hash(area) == hash(b * n * a)
    assert int(area * 3) == 3 * int(area)
    assert int(-area) == -int(area)


def test_a_product_takes_out_its_factor() -> None:
    assert product([6, H, W]) == (H * 2) * (W * 3)
    assert H * W != H * H


@pytest.mark.parametrize(
    "sum_of", [lambda: H * W + 1, lambda: 1 + H * W, lambda: H + H * W, lambda: H * W - H, lambda: H * W // 2]
)
def test_products_are_only_multiplied(sum_of: Any) -> None:
    with pytest.raises(SizeFault):
        sum_of()


# -------------------------------------------------------------------------------------------------- faults
def test_sizes_of_different_inputs_are_not_added() -> None:
    with pytest.raises(SizeFault, match="`H` and `W` depend on different input sizes"):
        H + W


def test_division_by_nothing() -> None:
    with pytest.raises(SizeFault, match="cannot be divided by 0"):
        H // 0


def test_the_period_is_bounded() -> None:
    with pytest.raises(SizeFault, match="multiply to 65536"):
        H // 256 // 256


def test_symbols() -> None:
    assert symbols(3) == ()
    assert symbols(H // 2) == (HEIGHT,)
    assert set(symbols(H * W)) == {HEIGHT, WIDTH}


# -------------------------------------------------------------------------------------------------- text
@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (H, "H"),
        (H - 1, "H - 1"),
        (H * 2 + 1, "2*H + 1"),
        (-H, "-H"),
        (5 - H * 2, "-2*H + 5"),
        (H // 2, "H//2"),
        ((H + 31) // 32, "ceil(H/32)"),
        ((H + 3) // 8, "(H + 3)//8"),
        (H // 2 * 2, "2*(H//2)"),
        ((H + 3) // 8 * 2 + 1, "2*((H + 3)//8) + 1"),
        ((H + 1) // 2 * 4, "4*ceil(H/2)"),
        ((H + 1) // 2 - H // 2, "ceil(H/2) - (H//2)"),
        (H % 2, "ceil(H/2) - (H//2)"),
        (-(H // 2), "-(H//2)"),
        (H // 4 + (H + 1) // 2, "3*(H//4) + [0, 1, 1, 2][H % 4]"),
        (H % 4, "[0, 1, 2, 3][H % 4]"),
        (product([512, H // 32, W // 32]), "512*(H//32)*(W//32)"),
        (product([H + 1, W]), "(H + 1)*W"),
        (product([H // 5 + (H + 1) // 5, W]), "((H + 1)//5 + H//5)*W"),
    ],
)
def test_text(dim: Any, text: str) -> None:
    assert str(dim) == text


@given(chains)
def test_text_is_a_formula(chain: list[tuple[str, int]]) -> None:
    """What is printed, read as Python, is the size."""
    size = follow(chain, H)
    for n in range(30):
        assert eval(str(size), {"H": n, "ceil": ceil}) == at(size, n), f"{size} at {n}"


@given(growing, growing)
def test_text_of_products_is_a_formula(one: list[tuple[str, int]], other: list[tuple[str, int]]) -> None:
    area = follow(one, H) * follow(other, W)
    assert eval(str(area), {"H": 224, "W": 160, "ceil": ceil}) == int(area), str(area)


def test_what_is_remembered_is_bounded():
    """Long periods take 0.5 MB each, so that only a few are kept."""
    from archdsl.core import sizes

    @sizes.remembered
    def made(dim, number):
        return object()

    def kept(dim, count: int) -> int:
        first = [made(dim, number) for number in range(count)]
        return sum(made(dim, number) is old for number, old in reversed(list(enumerate(first))))

    size = Size.of(Symbol("H", 99999))
    long, short = size // 4096, size // 2
    assert kept(long, 2 * sizes.MOST_LONG) <= sizes.MOST_LONG
    assert kept(short, 2 * sizes.MOST_SHORT) <= sizes.MOST_SHORT
    assert made(short, -1) is made(short, -1) and made(long, -1) is made(long, -1)


def test_a_long_table_is_printed_short():
    size = Size.of(Symbol("H", 99999))
    assert len(str(size // 127 + size // 64)) < 200
    assert str(size // 2 + size // 3) == "5*(H//6) + [0, 0, 1, 2, 3, 3][H % 6]"
