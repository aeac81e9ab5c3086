"""Random programs with loops: source text in which `steps` is left open, arguments, and what occurs in them.

A program is drawn statement by statement; each draft is run with ``range`` on copies of the arguments, and kept if it
succeeds and its numbers stay moderate. So every program is one that plain NumPy can run, and no chaos is in it.
"""

import linecache
import zlib
from collections import Counter
from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

WIDTH = 4  # of vectors; an inner loop goes over them
LARGEST = 6.0
LENGTHS = [6, 9, 12, 13, 17, 24, 30]
HEAD = """\
def f(u, v, F, c):
    n = {n}
    a, b, w = u * 1.0, v * 0.5, np.zeros(WIDTH)
    g, z = np.full(WIDTH, 0.25, np.float32), np.zeros(())
    s, r = u[0], 0.5 * v.sum()
    H, p = np.zeros((n + 4, WIDTH)), np.zeros(2 * n + 8)
    o, d, l = Box(), {{"x": v * 0.25}}, [u * 0.75, 0]
    o.x, last, q = b[::-1].copy(), 0, a[1:]
    p[:2] = u[:2]
    H[0] = 0.5 * v
    for k in steps(n):
"""
RESULTS = "a, b, w, g, z, s, r, H, p, o.x, d['x'], l[0], q, last * u"
NAMESPACE = {"np": np, "WIDTH": WIDTH, "Box": SimpleNamespace}
VECTORS = ["u", "v", "a", "b", "w", "o.x", "d['x']", "l[0]"]
OWNED = ["u", "v", "a", "b", "w"]
SCALARS = ["s", "r"]


class Program:
    """The source of f(u, v, F, c), its arguments, and the kinds of its statements."""

    def __init__(self, n, before, body, after, kinds):
        self.n, self.before, self.body, self.after, self.kinds = n, before, body, after, kinds
        rng = np.random.default_rng(n)
        self.args = (rng.uniform(-1, 1, WIDTH), rng.uniform(0.2, 1, WIDTH), rng.uniform(-1, 1, (n + 4, WIDTH)), 0.75)
        constants = rng.uniform(-1, 1, (n + 4, WIDTH))
        self.namespace = {**NAMESPACE, "E": constants}

    def source(self):
        head = HEAD.format(n=self.n).splitlines()
        lines = [*head[:-1], *indented(self.before, 1), head[-1], *indented(self.body or ["pass"], 2), *indented(self.after, 1)]
        return "\n".join([*lines, f"    return {RESULTS}", ""])

    def function(self, steps):
        """The function with one meaning of `steps`, under a file name by which errors name its lines."""
        source = self.source()
        name = f"<loop {zlib.crc32(source.encode())}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        namespace = dict(self.namespace)
        namespace["steps"] = steps
        exec(compile(source, name, "exec"), namespace)
        return namespace["f"]

    def moved(self):
        """Other arguments, with which branches on data may go elsewhere."""
        u, v, F, c = self.args
        return 0.5 - u, v * 0.75, F * 0.5 + 0.125, c

    def plain(self, args):
        """What NumPy gives on copies of the arguments, those that it has written to included."""
        own = [np.copy(x) if isinstance(x, np.ndarray) else x for x in args]
        results = self.function(range)(*own)
        return (*results, *own[:3])

    def fits(self):
        try:
            with np.errstate(all="raise"):
                found = [np.asarray(x) for args in (self.args, self.moved()) for x in self.plain(args)]
        except (ArithmeticError, IndexError, TypeError, ValueError):
            return False
        return all(x.size == 0 or np.abs(x).max() < LARGEST for x in found)

    def __repr__(self):
        return f"\n{self.source()}"


def indented(statements, depth):
    return ["    " * depth + line for text in statements for line in text.splitlines()]


# ---- drawing


@st.composite
def programs(draw, size=6):
    d = Drafting(draw)
    n = draw(st.sampled_from(LENGTHS))
    parts = {"before": [], "body": [], "after": []}
    kinds = Counter()
    for _ in range(draw(st.integers(1, size))):
        kind = draw(st.sampled_from(KINDS))
        add(n, parts, "body", kind(d), kind.__name__, kinds)
    for part, of in (("before", BEFORE), ("after", AFTER)):
        for _ in range(draw(st.integers(0, 2))):
            kind = draw(st.sampled_from(of))
            add(n, parts, part, kind(d), kind.__name__, kinds)
    return Program(n, **parts, kinds=kinds)


def add(n, parts, where, text, kind, kinds):
    tried = {**parts, where: [*parts[where], text]}
    if Program(n, **tried, kinds=kinds).fits():
        parts[where].append(text)
        kinds[kind] += 1


class Drafting:
    """Random choices of names and expressions."""

    def __init__(self, draw):
        self.draw = draw
        self.counters = ["k"]

    def pick(self, options):
        return self.draw(st.sampled_from(list(options)))

    @property
    def vector(self):
        return self.pick(VECTORS)

    @property
    def k(self):
        return self.pick(self.counters)

    def row(self):
        k = self.k
        return self.pick(
            [f"F[{k}]", f"F[{k} + 1]", f"E[{k}]", f"F[n - 1 - {k}]", f"H[{k}]", f"F[{k}:{k} + 2].sum(0)", f"F[{k} - 1]"]
        )

    def operand(self):
        return self.pick([self.vector, self.vector, self.vector, self.row(), "g", "z", "s", "r", "c", f"0.05 * {self.k}"])

    def expression(self):
        x, y = self.operand(), self.operand()
        return self.pick(
            [
                f"0.5 * np.sin({x}) + 0.25 * {y}",
                f"0.5 * {x} * np.cos({y})",
                f"np.tanh({x}) - 0.25 * {y}",
                f"0.5 * ({x} + {y})",
                f"{x} / (2 + {y} * {y})",
                f"np.exp(-{x} * {x}) * 0.5",
                f"np.maximum({x}, 0.1 * {y})",
                f"np.where({x} > 0.1, 0.5 * {x}, {y})",
            ]
        )

    def full(self):
        """An expression of the width of vectors."""
        return f"{self.expression()} + 0.25 * {self.vector}"

    def number(self):
        x = self.vector
        return self.pick(
            [
                f"{x}.sum()",
                f"{x}[1]",
                f"{x}.max()",
                f"0.25 * {x} @ {self.vector}",
                f"{x}.mean()",
                f"{x}[-1] * {self.pick(SCALARS)}",
                f"np.sin({self.pick(SCALARS)})",
                f"0.25 * p[{self.k} + 1]",
                f"F[{self.k}, 1]",
                f"z * {x}[0]",
                "0.1 * c * s",
                "0.5 * float(n)",
                f"0.02 * {self.k}",
            ]
        )

    def condition(self):
        k = self.k
        return self.pick(
            [
                f"{k} % 3 == 0",
                f"{k} > 5",
                f"{k} == n - 1",
                f"{k} == 0",
                f"{k} % 2",
                f"{k} < 4",
                f"{k} in (2, 5)",
                f"not {k}",
                f"{self.vector}.max() > 0.5",
                f"{self.vector}[0] > 0.1",
                f"{self.pick(SCALARS)} < 0.2",
                f"{k} > 3 and {self.vector}[1] > 0",
                f"np.abs({self.vector}).sum() > 1.0",
                "z > 0.1",
                f"({self.vector} > 0).all()",
                f"F[{k}, 0] > 0",
            ]
        )


def rebinding(d):
    return f"{d.vector} = {d.full()}"


def in_place(d):
    x = d.vector
    return d.pick(
        [
            f"{x}[...] = {d.full()}",
            f"{x} += 0.1 * {d.operand()}",
            f"{x} *= 0.9",
            f"{x}[1:-1] = 0.5 * {d.vector}[2:] + 0.25 * {d.vector}[:-2]",
            f"np.multiply({d.vector}, 0.5, out={x})",
            f"{x}[0] = {d.number()}",
            f"{x}[::2] *= 0.5",
            f"{x}[:] = {d.vector}",
            f"{x}[-1] = 0.0",
            f"np.copyto({x}, {d.vector}, where={d.vector} > 0.2)",
            f"{x}[1:] = 0.25",
            f"{x} -= 0.25 * {d.full()}",
        ]
    )


def overlapping(d):
    x = d.vector
    return d.pick(
        [
            f"{x}[1:] = 0.5 * {x}[:-1]",
            f"{x}[1:] += 0.25 * {x}[:-1]",
            f"{x}[:] = {x}[::-1]",
            f"{x}[:-1] *= {x}[1:]",
            f"np.add({x}[1:], 0.1 * {x}[:-1], out={x}[1:])",
            f"q *= 0.9\n{x}[1:] += 0.1 * q",
            "q[...] = 0.5 * np.sin(q) + 0.1 * a[:-1]",
            "a += 0.1 * np.append(q, 0.5)",
            f"q = {x}[1:]",
            f"q = {x}[:-1] * 0.5",
        ]
    )


def swap(d):
    x, y, z = d.vector, d.vector, d.vector
    return d.pick(
        [
            f"{x}, {y} = {y}, {x}",
            f"{x}, {y}, {z} = {y}, {z}, {x}",
            f"{x}, {y}, {z} = {d.full()}, {x}, {y}",
            f"{x}[1:-1] = 0.5 * {y}[2:] + 0.25 * {y}[:-2]\n{x}, {y} = {y}, {x}",
            f"{x} = {y}",
            f"{x} = {y}.copy()",
            f"{x} = {y}[:]",
            "F, H = H, F",
        ]
    )


def scalar(d):
    s = d.pick(SCALARS)
    return d.pick(
        [
            f"{s} = {d.number()}",
            f"{s} = 0.5 * {s} + 0.25 * {d.number()}",
            f"{s} *= 0.9",
            "s, r = 0.5 * r, s",
            f"{s} += 0.01 * {d.k}",
        ]
    )


def zero_d(d):
    return d.pick(
        [
            f"z[...] = 0.5 * z + 0.1 * {d.number()}",
            "z += 0.1 * s",
            f"{d.vector}[0] = z",
            "z *= 0.9",
            f"z = z * 0.5 + 0.1 * {d.number()}",
            f"z = np.asarray(0.5 * {d.number()})",
            "s = z * 1.0",
            f"z = {d.vector}.sum(keepdims=True)[0] * 0.25 + np.zeros(())",
        ]
    )


def single(d):
    x = d.vector
    return d.pick(
        [
            f"g += 0.1 * {x}",
            f"g = (0.5 * {x}).astype(np.float32)",
            f"{x} = {x} + 0.1 * g",
            "g *= 0.75",
            "g[1:] = 0.5 * g[:-1]",
            f"g[0] = {d.number()}",
            f"{x}[:2] = g[2:]",
        ]
    )


def stream(d):
    k = d.k
    return d.pick(
        [
            f"H[{k} + 1] = 0.5 * np.sin(H[{k}]) + 0.1 * {d.vector}",
            f"H[{k} // 2] = {d.vector}",
            f"H[{k}] = {d.full()}",
            f"F[{k}] *= 0.5",
            f"p[{k} + 2] = 0.5 * p[{k} + 1] - 0.25 * p[{k}] + 0.1 * {d.number()}",
            f"p[2 * {k}] = {d.number()}",
            f"F[{k} + 1, 1:3] += 0.1 * F[{k}, :2]",
            f"p[{k}:{k} + 3] *= 0.9",
            f"H[n - {k}] = {d.full()}",
            f"H[{k} % 3] += 0.1 * {d.vector}",
            f"{d.vector} = {d.row()} * 1.0",
            f"{d.vector} = F[{k}]",
            f"p[{k}] = {d.pick(SCALARS)}",
            f"F[{k}, {k} % WIDTH] = {d.number()}",
            f"H[-1] += 0.1 * {d.vector}",
            f"{d.vector} += 0.1 * H[-1] + 0.1 * F[0]",
            f"H[{k} + 2] = 0.5 * H[{k} + 1] + 0.25 * H[{k}] + 0.1 * F[{k} + 1]",
        ]
    )


def mask(d):
    x = d.vector
    return d.pick(
        [
            f"{x}[{x} > 0.3] *= 0.5",
            f"{x}[{d.vector} < 0] = {d.number()}",
            f"{x}[[0, 2]] = 0.5 * {d.vector}[[1, 3]]",
            f"{x}[[0, 0]] += 0.1",
            f"{x} = np.where({x} > 0.5, 0.5 * {x}, {x})",
            f"{x} = np.clip({x}, -1, 1)",
            f"np.minimum({x}, 0.8, out={x})",
        ]
    )


def joined(d):
    x = d.vector
    return d.pick(
        [
            f"{x} = 0.75 * np.roll({x}, 1)",
            f"{x} = np.concatenate([{x}[1:], {d.vector}[:1]])",
            f"{x} = np.stack([{x}, {d.vector}]).mean(0)",
            f"{x} = 0.5 * np.cumsum({x})",
            f"{x} = 0.5 * np.diff({x}, append={d.vector}[0])",
        ]
    )


def counter(d):
    k = d.k
    return d.pick(
        [
            f"last = {k}",
            f"t = 0.1 * {k}\n{d.vector} *= np.cos(t)",
            f"i = {k} // 2\n{d.vector} += 0.1 * F[i]",
            f"{d.vector} += 0.01 * last\nlast = {k}",
            f"{d.vector} *= 1.0 / (1 + {k})",
            f"i = n - {k}\n{d.vector}[0] = 0.02 * i",
            f"{d.vector} += 0.001 * {k} ** 2",
            f"last = {k} + 1",
            f"l[1] = {k}\n{d.vector} += 0.01 * l[1]",
            f"{d.vector} += np.full(WIDTH, 0.01 * {k})",
            f"{d.vector}[{k} % WIDTH] *= 0.5",
        ]
    )


def branch(d):
    kinds = [rebinding, in_place, scalar, stream, zero_d, swap, counter]
    then, other = d.pick(kinds)(d), d.pick(kinds)(d)
    text = "\n".join([f"if {d.condition()}:", *indented([then], 1)])
    if d.draw(st.booleans()):
        text += "\n" + "\n".join(["else:", *indented([other], 1)])
    return text


def leaving(d):
    return f"if {d.condition()}:\n    {d.pick(['break', 'continue'])}"


def nested(d):
    d.counters.append("j")
    kinds = [rebinding, in_place, scalar, stream, both, both, zero_d, swap, branch, counter, leaving]
    body = [d.pick(kinds)(d) for _ in range(d.draw(st.integers(1, 2)))]
    d.counters.pop()
    length = d.pick(["WIDTH", "3", "6", "n", "k + 1"])
    return "\n".join([f"for j in steps({length}):", *indented(body, 1)])


def both(d):
    return d.pick(
        [
            "F[k, j % WIDTH] *= 0.5",
            "u[j % WIDTH] = 0.5 * u[(j - 1) % WIDTH] + 0.1 * F[k, 1]",
            "H[k, j] = np.sin(H[k, j - 1]) + 0.01 * k + 0.02 * j",
            "p[k + j] += 0.05",
            "w[j] += 0.1 * F[k, j]",
            "F[k + 1, j] = 0.5 * F[k, j] + 0.1 * a[j]",
            "F[j, j] = 0.5 * v[j] * k / n",
            "b[j] = 0.5 * w[j] + 0.01 * k * j",
            "H[k + 1, j] = 0.5 * H[k, j] + 0.1 * F[k, 3 - j]",
        ]
    )


def helper(d):
    x = d.vector
    return d.pick(
        [
            f"h = lambda x: 0.5 * x * {d.vector}\n{x} = h({x}) + 0.1 * {d.vector}",
            f"{x} = sum([0.25 * y for y in (a, b, {x})])",
            f"y = {x}\ny *= 0.5",
            f"y = {x} * 0.5\n{d.vector} = y + 0.1 * {d.vector}",
            f"x2 = np.empty(WIDTH)\nx2[:] = {d.full()}\n{x} = x2",
            f"m = np.stack([u, v])\n{x} = 0.25 * (m * {d.vector}).sum(0)",
            f"{x} = np.sin(np.array([s, r, 0.5, c])) * 0.5",
        ]
    )


KINDS = [
    rebinding,
    rebinding,
    in_place,
    in_place,
    overlapping,
    swap,
    swap,
    scalar,
    zero_d,
    single,
    stream,
    stream,
    mask,
    joined,
    counter,
    branch,
    branch,
    branch,
    leaving,
    nested,
    nested,
    helper,
]


def initial(d):
    return d.pick(
        [
            "b = a",
            "q = u",
            "w = u",
            "a = F[2]",
            "z = F[1, 1:2].reshape(())",
            "o.x = d['x']",
            "q = F[1:4, 1]",
            "v = F[1]",
            "H[1] = u",
        ]
    )


def used(d):
    return d.pick(
        [
            "w = w * k",
            "if s > 0.1:\n    a = a * 0.5",
            "H[k] += a",
            "r = r + q.sum()",
            "u *= 0.5",
            "b = b + u.max()",
            "d['x'] = d['x'] * last",
            "for k in steps(n):\n    a = 0.5 * a + 0.1 * F[k]\n    w[k % 2] = s",
            "p[k] = 1.0",
        ]
    )


BEFORE, AFTER = [initial], [used]

REFUSED = {
    "last += 1; b = b + last": "last changes from step to step",
    "o.count = k * 1.0 if k < 0 else getattr(o, 'count', 0) + 1": "o.count changes from step to step",
    "l.append(a)": "l grows or shrinks",
    "b = np.append(b, a[0])": "shape or dtype of an array changes|appears or disappears|no two are alike",
    "b[b > 0.05] = b[b > 0.05] * 0.99": "a mask of traced values names",
    "b = b * [0.5 + 0.01 * i for i in range(n)][k]": "number that is taken from a traced one",
}
