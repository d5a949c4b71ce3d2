"""Two texts that are one network: what the language promises of loops, conditions, names, lists and calls.

The oracle runs what elaboration has made, so a mistake of elaboration itself is seen here: each law is a pair of
spellings, filled in at random.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from archdsl.ops.base import Op

if TYPE_CHECKING:
    from archdsl.ir.network import Network, Node, Scope

HEAD = "net n:\n    input image: [N, 8, H=9, W=9]\n"
STEPS = (
    "conv(8, 3)",
    "relu",
    "bn",
    "depthwise(3)",
    "maxpool(3, stride=1, pad=1)",
    "[conv(8, 1), bn]",
    "sigmoid",
    "gn(1)",
)


def law(seed: int) -> tuple[str, str]:
    """Return two texts of one network."""
    source = random.Random(seed)
    a, b, c = (source.choice(STEPS) for _ in range(3))
    n, m, k = source.randint(1, 3), source.randint(1, 9), source.choice([1, 3])
    q, r = source.randint(2, 9), source.randint(2, 9)
    below, even = q < r, q % 2 == 0
    laws = [
        (f"    ({a}) * {n}", " -> ".join([a] * n)),
        (f"    for i in range({n}):\n        {a}", "\n    ".join([a] * n)),
        (f"    for i, w in enumerate([{q}, {r}]):\n        conv(w, 2 * i + 1)", f"conv({q}, 1) -> conv({r}, 3)"),
        (f"    for i, w in reversed(enumerate([{q}, {r}])):\n        conv(w + i, 1)", f"conv({r + 1}, 1) -> conv({q}, 1)"),
        (f"    for w, v in zip([{q}, {r}], [1, 3]):\n        conv(w, v)", f"conv({q}, 1) -> conv({r}, 3)"),
        (f"    for i, (w, v) in enumerate([({q}, 1), ({r}, {k})]):\n        conv(w - i, v)", f"conv({q}, 1) -> conv({r - 1}, {k})"),
        (f"    for i in range({q}, 1, -2):\n        conv(i, 1)", " -> ".join(f"conv({i}, 1)" for i in range(q, 1, -2))),
        (f"    [conv(w, 1) for w in [{q}, 4, {r}] if w > 3]", f"[{', '.join(f'conv({w}, 1)' for w in (q, 4, r) if w > 3)}]"),
        (f"    cat(*[conv(w, 1) for w in [{q}, {r}]])", f"cat(conv({q}, 1), conv({r}, 1))"),
        (f"    cat:\n        {a}\n        {b}", f"cat({a}, {b})"),
        (f"    split:\n        {a.replace('8', '4')}\n        for i in range(1):\n            identity", f"split({a.replace('8', '4')}, identity)"),
        (f"    add:\n        w = {n}\n        {a}\n        if w > 1:\n            {b}", f"add({a}, {b})" if n > 1 else a),
        (f"    {a}\n    ({b} if {q} < {r} else {c})", f"{a} -> {b if below else c}"),
        (f"    {a}\n    ({b} if {q} % 2 == 0)\n    {c}", f"{a} -> {b} -> {c}" if even else f"{a} -> {c}"),
        (f"    [{a}, {b} if {q} >= {r}, {c}]", f"[{a}, {c}]" if below else f"[{a}, {b}, {c}]"),
        (f"    if {q} > {r}:\n        {a}\n    elif {q} == {r}:\n        {b}\n    else:\n        {c}", a if q > r else b if q == r else c),
        (f"    if x.channels == 8 and not ({q} != {r} or false):\n        {a}\n    else:\n        {b}", a if q == r else b),
        (f"    if {q} in [{r}, 4] or {q} < {r}:\n        {a}\n    else:\n        {b}", a if q in (r, 4) or below else b),
        (f"    {a}\n    t = x\n    {b} -> cat(t, identity)", f"{a} -> cat(identity, {b})" if "[" not in b else f"{a}\n    t = x\n    {b}\n    cat(t, x)"),
        (f"    p = {a}\n    p -> {b} -> p", f"{a} -> {b} -> {a}"),
        (f"    p = conv(kernel={k})\n    p({q}) -> p({r}, bias=false)", f"conv({q}, {k}) -> conv({r}, {k}, bias=false)"),
        (f"    p = conv({q}, 1)\n    p(kernel=3) -> p", f"conv({q}, 3) -> conv({q}, 1)"),
        ("    p = conv(2 * x.channels, 1)\n    p -> p", "conv(16, 1) -> conv(32, 1)"),
        (f"    c = x.channels // 2\n    conv({q}, 1)\n    conv(c, 1)", f"conv({q}, 1) -> conv(4, 1)"),
        (f"    conv({q}, 1) -> conv(x.channels + {m}, 1)", f"conv({q}, 1) -> conv({q + m}, 1)"),
        (f"    ps = [({q}, 1), ({r}, 3)]\n    conv(ps[1][0], ps[-1][1]) -> conv(ps[0][0], ps[-2][1])", f"conv({r}, 3) -> conv({q}, 1)"),
        (f"    ws = [{q}, {r}] + [2] * {n}\n    conv(ws[-1] + len(ws), 1)", f"conv({2 + 2 + n}, 1)"),
        (f"    conv(sum([{q}, {r}]) - max({q}, {r}) + abs({q} - {r}), 1)", f"conv({q + r - max(q, r) + abs(q - r)}, 1)"),
        (f"    l{{{q} - 1}}: {a}\n    relu", f"l{q - 1}: {a}\n    relu"),
        (f"    for i in range(2):\n        t{{i}} = x\n        {a}\n    cat(t{{1}}, t0)", f"t0 = x\n    {a}\n    t1 = x\n    {a}\n    cat(t1, t0)"),
        (f"    t = image -> {a}\n    {b}\n    t", f"t = image -> {a}\n    image -> {b}\n    t"),
        (f"    {a} -> adaptive_avgpool((2, 3)) -> conv(x.height, x.width, pad=1)", f"{a} -> adaptive_avgpool((2, 3)) -> conv(2, 3, pad=1)"),
        (f"    t = image -> {a}\n    t + x + t - x", f"t = image -> {a}\n    u = add(t, image, t)\n    u - image"),
        (f"    t = x -> {a}\n    u = x -> {b}\n    t * u * x", f"t = x -> {a}\n    u = x -> {b}\n    mul(t, u, x)"),
        (f"    {a} -> x * x + x", f"{a} -> add(mul(x, x), x)"),
        (f"    t = x -> {a}\n    x - t + t - 1", f"t = x -> {a}\n    u = x - t\n    v = add(u, t)\n    v - 1"),
        (f"    {a}\n    x**2 * {q} - x / {r}", f"{a}\n    t = x**2\n    u = t * {q}\n    v = x / {r}\n    u - v"),
        (f"    {a}\n    {q} * {r} * x", f"{a} -> x * {q * r}"),
        (f"    {a} -> max([\"height\", \"channels\"]) -> conv(max({q}, {r}), 1)", f"{a} -> max((\"features\", \"height\")) -> conv({max(q, r)}, 1)"),
        (f"    {a} -> (x * 2 if x.channels == 8 and {q} < {r} else -x)", f"{a} -> {'x * 2' if below else '-x'}"),
    ]  # fmt: skip
    blocks = [
        (f"block k(p, q=p + 1):\n    conv(p, 1) -> conv(q, 1)\n{HEAD}    k({q}) -> k({q}, {r})", f"[conv({q}, 1), conv({q + 1}, 1)] -> [conv({q}, 1), conv({r}, 1)]"),
        (f"block k(p, q):\n    conv(q, 1) -> p\n{HEAD}    w = k(q={q})\n    w({a}) -> w(p={b})", f"[conv({q}, 1), {a}] -> [conv({q}, 1), {b}]"),
        (f"block k(c, depth):\n    if depth > 0:\n        conv(c, 1) -> k(c + 1, depth - 1)\n    else:\n        {a.replace('8', '6')}\n{HEAD}    k(4, 2)", f"[conv(4, 1), [conv(5, 1), [{a.replace('8', '6')}]]]"),
        (f"fn f(c, by=2) = c if c < {m} else f(c - by, by) * 2\n{HEAD}    conv(max(f({q}), 1), 1) -> conv(max(f({r}, by=3), 1), 1)", f"conv({max(_halved(q, 2, m), 1)}, 1) -> conv({max(_halved(r, 3, m), 1)}, 1)"),
        (f"block k(t):\n    cat(identity -> relu, t)\n{HEAD}    t = x\n    {a} -> k(t)", f"t = x\n    {a} -> [cat(relu, t)]"),
        (f"default conv(bias=false), maxpool(ceil=true)\n{HEAD}    conv({q}, 1) -> conv({r}, 1, bias=true) -> maxpool(2)", f"conv({q}, 1, bias=false) -> conv({r}, 1) -> maxpool(2, ceil=true)"),
        (f"block k(c):\n    output left = x -> conv(c, 1)\n    output right = x -> {a}\n{HEAD}    r = x -> k({q})\n    r.right", f"r = x -> k({q})\n    t = r.right\n    t"),
        (f"net m(c=4):\n    input i: [N, 8, H=5, W=5]\n    conv(c, 1) -> {a.replace('8', '4')}\n{HEAD}    m -> conv({q}, 1)", f"[conv(4, 1), {a.replace('8', '4')}] -> conv({q}, 1)"),
    ]  # fmt: skip
    number = source.randrange(len(laws) + len(blocks))
    if number < len(laws):
        left, right = laws[number]
        return HEAD + left + "\n", f"{HEAD}    {right or 'identity'}\n"
    left, right = blocks[number - len(laws)]
    definition = left.split("net n:")[0] if " k(" in right else ""
    return left + "\n", f"{definition}{HEAD}    {right}\n"


def _halved(c: int, by: int, least: int) -> int:
    return c if c < least else _halved(c - by, by, least) * 2


def told(network: Network) -> object:
    """Return what a network does, without what it is called and where it is written."""

    def node(each: Node) -> object:
        what = each.what
        inner = (what.name, what.arguments) if isinstance(what, Op) else plain(what)
        return each.inputs, each.outputs, each.init, inner

    def plain(one: Scope) -> object:
        shapes = [str([int(dim) for dim in shape]) for shape in one.shapes]
        return one.inputs, shapes, [node(each) for each in one.nodes], [o.value for o in one.outputs]

    return plain(network.scope)
