"""Random tapes on arrays of all sizes, for engines: values of a few shapes meet in many ops, overlap and are overwritten.

Three kinds of numbers. *Rough*: any elementwise op of any number, no sums; engines agree to the bit. *Whole*: small integers,
combined by ops that are exact on them, so that sums have the same bits in any order. *Smooth*: for derivatives to rounding.
"""

import numpy as np

from loop_tapes import LoopBuilder
from tapes import F8, I8, random_window

F4, C16, BOOL = np.dtype(np.float32), np.dtype(np.complex128), np.dtype(bool)
LENGTHS = [0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 255, 256, 257, 511, 513, 1023, 1024, 1025, 2047, 2048, 2049, 4096, 4097, 6150]
SHAPES = [(n,) for n in LENGTHS] + [
    (1000, 3), (3, 1000), (37, 41), (41, 37), (2, 3, 5, 70), (70, 5, 3, 2), (1, 2049), (2049, 1), (2, 1025), (1025, 2),
    (2, 1, 1023), (64, 64), (16, 257), (257, 16), (3, 683, 2), (5, 0), (0, 5), (1, 1), (2, 2, 2), (9, 8, 7), (2, 4097),
    (8, 256), (8, 255),
]  # fmt: skip
LARGEST = 30_000  # elements of a value

NAMES = {
    "rough": {
        "unary": ["sin", "cos", "tanh", "arctan", "floor", "negative", "absolute", "sign", "cbrt", "exp", "expm1", "square",
                  "sqrt", "rint", "positive", "reciprocal", "stop_gradient", "conjugate"],
        "binary": ["add", "subtract", "multiply", "divide", "maximum", "minimum", "copysign", "hypot", "arctan2", "fmod",
                   "heaviside", "nextafter", "remainder", "fmax", "strong_multiply", "power", "floor_divide"],
        "F": ["add", "subtract", "multiply", "divide", "maximum"],
    },
    "whole": {
        "unary": ["negative", "absolute", "positive", "floor", "sign", "square", "stop_gradient"],
        "binary": ["add", "subtract", "multiply", "maximum", "minimum", "multiply", "strong_multiply"],
        "F": ["add"],
    },
    "smooth": {
        "unary": ["sin", "tanh", "arctan", "negative", "square", "arcsinh"],
        "binary": ["add", "subtract", "multiply", "multiply"],
        "F": ["add", "multiply"],
    },
}  # fmt: skip
OTHERS = {
    "f": NAMES["rough"]["F"], "i": ["add", "subtract", "multiply", "bitwise_and", "maximum"],
    "c": ["add", "subtract", "multiply"], "b": ["logical_and", "logical_or", "logical_xor", "bitwise_or"],
}  # fmt: skip


class SizedTape(LoopBuilder):
    """A random tape of numbers of one kind; ``point(seed)`` gives inputs.

    Parameters
    ----------
    seed : int
    numbers : {"rough", "whole", "smooth"}
    shape : tuple of int, optional
        The shape of most values; random without.
    depth : int, optional
        To which loops and branches may nest; random without.
    """

    PLAIN = ("unary", "unary", "binary", "binary", "binary", "binary", "stencil", "stencil", "window", "stored", "gather",
             "scatter", "select", "copy", "filled", "spread", "converted", "moved", "other")  # fmt: skip
    ORDERED = ("reduced", "scanned", "recurrent")  # without sums, or sums in one order
    SUMS = ("sum", "scanned", "recurrent", "contracted", "accumulated")
    NESTED = ("looped", "looped", "branched")

    def __init__(self, seed, numbers, shape=None, depth=None):
        super().__init__()
        self.rng, self.numbers, self.names = np.random.default_rng(seed), numbers, NAMES[numbers]
        shape = self.pick(SHAPES) if shape is None else shape
        self.shapes = [shape, shape, shape, shape[1:], tuple(n if self.chance(0.5) else 1 for n in shape), ()]
        env = [self.input(s, strides=self.layout(s)) for s in (shape, shape, self.pick(self.shapes), ())]
        env += [self.input((3,), I8), self.input((), I8)]
        if numbers == "rough":
            env.append(self.input(shape, self.pick([F4, C16])))
        depth = self.pick([0, 0, 1, 2]) if depth is None else depth
        env += self.statements(self, env, [], self.rng.integers(3, 20), depth)
        count = self.rng.integers(1, 5)
        self.done(*(self.late(env) for _ in range(count)), env[-1])

    # ---- choices

    def pick(self, items):
        return items[self.rng.integers(len(items))]

    def late(self, items):
        """One of `items`, a later one more often."""
        return items[-1 - int(len(items) * self.rng.random() ** 2)]

    def chance(self, p):
        return self.rng.random() < p

    def layout(self, shape, dtype=F8):
        """Strides of a dense array with its axes in random order, most often C order."""
        order = np.arange(len(shape)) if self.chance(0.6) else self.rng.permutation(len(shape))
        return np.empty([shape[k] for k in order], dtype).transpose(np.argsort(order)).strides

    def value(self, b, env, fits=lambda t: True):
        """A float64 value whose type fits; None if there is none."""
        found = [v for v in env if b.tape.type(v).dtype == F8 and fits(b.tape.type(v))]
        return self.late(found) if found else None

    def fitting(self, b, env, shape):
        """A value that broadcasts to `shape`."""
        fits = lambda t: t.ndim <= len(shape) and all(n in (1, m) for n, m in zip(t.shape[::-1], shape[::-1], strict=False))
        v = self.value(b, env, fits)
        return self.number(b) if v is None or self.chance(0.15) else v

    def number(self, b):
        return b.const(float(self.pick([-1.0, 0.0, 1.0]) if self.numbers == "whole" else self.pick([0.5, -0.75, 0.0, 1.0, 2.0])))

    def filling(self, b, env, shape):
        """A value of exactly this shape."""
        v = self.value(b, env, lambda t: t.shape == shape)
        if v is not None and self.chance(0.7):
            return v
        x = self.value(b, env, lambda t: t.size)
        if x is None or self.chance(0.2):
            return b.const(np.full(shape, 1.0))
        if self.chance(0.3):  # one number everywhere
            return b.load(x, lambda a: np.broadcast_to(a[(*(-1,) * a.ndim, ...)], shape))
        return b.op("gather", (x, self.positions(b, env, x, shape)), shape, strides=self.layout(shape))

    def positions(self, b, env, x, shape):
        n = b.tape.type(x).size
        computed = [v for v in env if b.tape.type(v).dtype == I8 and b.tape.type(v).shape == shape]
        if computed and self.chance(0.5):
            return b.op("remainder", (self.pick(computed), b.const(np.int64(n))), shape, dtype=I8)
        size = int(np.prod(shape))
        kinds = [self.rng.integers(-n, n, shape), np.arange(size).reshape(shape) % n, n - 1 - np.arange(size).reshape(shape) % n]
        return b.const(self.pick(kinds).astype(self.pick([np.int64, np.int64, np.int32])))

    def tamed(self, b, v, always=False):
        """A value that is not large; whole numbers between -1 and 1."""
        t = b.tape.type(v)
        if t.dtype != F8 or not (always or self.chance(0.5)):
            return v
        if self.numbers != "whole":
            return b.ew("tanh", v)
        return b.ew("subtract", b.ew("remainder", v, b.const(3.0)), b.const(1.0))

    # ---- statements: each appends ops to `b` and returns values that later ones may read

    def statements(self, b, env, counters, count, depth):
        env, made = list(env), []
        kinds = [*self.PLAIN, *(self.ORDERED if self.numbers == "rough" else self.SUMS), *(self.NESTED if depth else ())]
        for _ in range(count):
            found = getattr(self, self.pick(kinds))(b, env, counters, depth)
            found = [v for v in found if v is not None]
            made += found
            env += found
        return made

    def unary(self, b, env, counters, depth):
        x = self.value(b, env)
        return [self.tamed(b, b.ew(self.pick(self.names["unary"]), self.tamed(b, x)))]

    def binary(self, b, env, counters, depth):
        x = self.value(b, env)
        shape = b.tape.type(x).shape
        y = self.fitting(b, env, shape)
        if self.chance(0.1):  # both are spread
            other = self.value(b, env, lambda t: self.both(shape, t.shape))
            y = y if other is None else other
        name = self.pick(self.names["binary"])
        if self.numbers == "whole" and "multiply" in name:
            x, y = self.tamed(b, x, True), self.tamed(b, y, True)
        strides = self.layout(np.broadcast_shapes(shape, b.tape.type(y).shape)) if self.chance(0.2) else None
        return [self.tamed(b, b.ew(name, *((x, y) if self.chance(0.5) else (y, x)), strides=strides))]

    def both(self, one, other):
        try:
            return np.prod(np.broadcast_shapes(one, other)) <= LARGEST
        except ValueError:
            return False

    def other(self, b, env, counters, depth):
        """An op of numbers that are not float64."""
        found = [v for v in env if b.tape.type(v).dtype != F8]
        if not found:
            return []
        x = self.late(found)
        t = b.tape.type(x)
        y = self.pick([v for v in found if b.tape.type(v) is t])
        return [b.ew(self.pick(OTHERS[t.dtype.kind]), x, y)]

    def cuts(self, shape, lengths, reverse=True):
        """Slices of these lengths at random places."""
        found = []
        for n, m in zip(shape, lengths, strict=True):
            start = int(self.rng.integers(n - m + 1))
            step = 2 if 2 * m - 1 <= n and self.chance(0.1) else 1
            start = min(start, n - (step * (m - 1) + 1)) if m else start
            stop = start + step * (m - 1) + 1 if m else start
            if reverse and m and self.chance(0.1):
                found.append(slice(stop - 1, start - 1 if start else None, -step))
            else:
                found.append(slice(start, stop, step))
        return (*found, ...)

    def stencil(self, b, env, counters, depth):
        """A store of what windows at other places of the same memory, or of memory of the same shape, hold."""
        x = self.value(b, env)
        shape = b.tape.type(x).shape
        lengths = [int(self.pick([n, n, max(n - 1, 0), max(n - 2, 0), min(n, 1), n // 2])) for n in shape]
        total = None
        for _ in range(self.rng.integers(1, 4)):
            source = self.value(b, [*env, x, x], lambda t: t.shape == shape)
            cut = self.cuts(shape, lengths)
            part = self.tamed(b, b.load(source, lambda a, cut=cut: a[cut]))
            total = part if total is None else self.combined(b, total, part)
        if self.chance(0.2):
            return [self.tamed(b, total)]
        cut = self.cuts(shape, lengths)
        target = self.value(b, [*env, x, x], lambda t: t.shape == shape)
        written = b.write(self.pick(["store", "store", "accumulate"]), target, lambda a: a[cut], total)
        return [written, total] if self.chance(0.3) else [written]

    def combined(self, b, x, y):
        if self.numbers == "whole":
            return b.ew(self.pick(["add", "subtract", "maximum"]), x, y)
        return b.ew(self.pick(self.names["F"]), x, y)

    def window(self, b, env, counters, depth):
        return [b.load(self.value(b, env), lambda a: random_window(self.rng, a, a.size * 2 > LARGEST))]

    def stored(self, b, env, counters, depth):
        x = self.value(b, env)
        t = b.tape.type(x)
        view, offset = b.view(x, lambda a: random_window(self.rng, a, True))
        name = self.pick(["store", "accumulate"])
        return [b.op(name, (x, self.filling(b, env, view.shape)), t.shape, view, offset, t.dtype, t.strides)]

    def accumulated(self, b, env, counters, depth):
        """Into memory that the window shows more than once."""
        x = self.value(b, env)
        t = b.tape.type(x)
        view, offset = b.view(x, lambda a: random_window(self.rng, a, a.size * 2 > LARGEST))
        v = self.filling(b, env, view.shape)
        return [self.tamed(b, b.op("accumulate", (x, v), t.shape, view, offset, t.dtype, t.strides))]

    def gather(self, b, env, counters, depth):
        x, shape = self.value(b, env, lambda t: t.size), self.pick(self.shapes)
        if x is None:
            return []
        return [b.op("gather", (x, self.positions(b, env, x, shape)), shape, strides=self.layout(shape))]

    def scatter(self, b, env, counters, depth):
        x, shape = self.value(b, env, lambda t: t.size), self.pick([*self.shapes, (3,)])
        if x is None:
            return []
        t = b.tape.type(x)
        name = "scatter" if self.numbers == "rough" else self.pick(["scatter", "scatter_add"])
        z = b.op(name, (x, self.positions(b, env, x, shape), self.filling(b, env, shape)), t.shape, strides=t.strides)
        return [self.tamed(b, z)]

    def select(self, b, env, counters, depth):
        x = self.value(b, env)
        shape = b.tape.type(x).shape
        condition = b.ew(self.pick(["less", "greater", "equal"]), self.fitting(b, env, shape), self.fitting(b, env, shape))
        flags = [v for v in env if b.tape.type(v).dtype == BOOL and b.tape.type(v).shape in (shape, ())]
        condition = self.pick(flags) if flags and self.chance(0.4) else condition
        return [b.ew("select", condition, x, self.fitting(b, env, shape)), condition]

    def copy(self, b, env, counters, depth):
        x = self.value(b, env)
        shape = b.tape.type(x).shape
        return [b.op("copy", (x,), shape, strides=self.layout(shape))]

    def filled(self, b, env, counters, depth):
        """Fresh memory, written in pieces."""
        shape = self.pick(self.shapes)
        if not shape or self.chance(0.3):
            return [b.zeros(shape, self.layout(shape))]
        cut = int(self.rng.integers(shape[0] + 1))
        x = b.empty(shape, self.layout(shape))
        for part in (np.s_[:cut], np.s_[cut:]):
            size = len(range(shape[0])[part])
            x = b.store(x, lambda a, part=part: a[part], self.filling(b, env, (size, *shape[1:])))
        return [x]

    def spread(self, b, env, counters, depth):
        """One element everywhere along an axis."""
        x = self.value(b, env, lambda t: t.ndim and t.size)
        if x is None:
            return []
        axis = int(self.rng.integers(b.tape.type(x).ndim))
        cut = lambda a: np.broadcast_to(np.moveaxis(a, axis, 0)[:1], np.moveaxis(a, axis, 0).shape)
        return [b.load(x, cut)]

    def converted(self, b, env, counters, depth):
        """To another dtype, or back."""
        others = [v for v in env if b.tape.type(v).dtype != F8]
        if others and self.chance(0.4):
            v = self.late(others)
            if b.tape.type(v).dtype == C16:
                return [b.load(v, lambda a: a.real if self.chance(0.5) else a.imag)]
            return [self.tamed(b, b.cast(v, F8), True)]
        x = self.value(b, env)
        if self.numbers != "rough":
            return [b.cast(self.tamed(b, x, True), I8)] if self.numbers == "whole" else [b.cast(b.cast(x, F4), F8)]
        dtype = self.pick([F4, C16, I8, BOOL, np.dtype(np.float16)])
        if dtype == I8:
            x = b.ew("multiply", b.ew("tanh", x), b.const(9.0))
        z = b.cast(x, dtype)
        return [b.cast(z, F8)] if dtype == np.float16 else [z]

    def place(self, b, env, counters, size):
        """(index, limits) of a row among `size`."""
        if counters and self.chance(0.7):
            j, trips = self.pick(counters)
            if trips <= size and self.chance(0.5):
                return b.integer("add", j, int(self.rng.integers(size - trips + 1))), (0, size)
            return b.integer("remainder", b.integer("multiply", j, int(self.rng.integers(1, 4))), size), (0, size)
        numbers = [v for v in env if b.tape.type(v).dtype == I8 and not b.tape.type(v).ndim]
        if numbers and self.chance(0.5):
            return b.integer("remainder", self.pick(numbers), size), (0, size)
        return b.const(np.int64(self.rng.integers(size))), (0, size)

    def moved(self, b, env, counters, depth):
        x = self.value(b, env, lambda t: t.ndim and t.size)
        if x is None:
            return []
        shape, rows = b.tape.type(x).shape, 1
        if self.chance(0.3):
            rows = int(self.rng.integers(1, shape[0] + 1))
        index, limits = self.place(b, env, counters, shape[0] - rows + 1)
        window = (lambda a, k: a[k : k + rows]) if rows > 1 else (lambda a, k: a[k, ...])
        read = b.load_at(x, window, [index], [limits])
        if self.chance(0.4):
            return [read]
        y = self.value(b, env, lambda t: t.shape == shape)
        index, limits = self.place(b, env, counters, shape[0] - rows + 1)
        name = self.pick(["store_at", "accumulate_at"])
        z = b.write_at(name, y, window, self.tamed(b, read), [index], [limits])
        return [z, read] if self.chance(0.3) else [z]

    # ---- sums

    def with_axis(self, b, env):
        x = self.value(b, env, lambda t: t.ndim)
        x = b.const(np.ones((5, 3))) if x is None else self.tamed(b, x, True)
        return x, b.tape.type(x), int(self.rng.integers(b.tape.type(x).ndim))

    def sum(self, b, env, counters, depth):
        x, t, axis = self.with_axis(b, env)
        axes = tuple(k for k in range(t.ndim) if k == axis or self.chance(0.3))
        shape = tuple(n for k, n in enumerate(t.shape) if k not in axes)
        return [self.tamed(b, b.op("sum", (x,), shape, axes, strides=self.layout(shape)))]

    def reduced(self, b, env, counters, depth):
        x, t, axis = self.with_axis(b, env)
        if not t.shape[axis]:
            return []
        shape = t.shape[:axis] + t.shape[axis + 1 :]
        name = self.pick(["maximum", "minimum", "fmax"])
        return [b.op("reduce", (x,), shape, (name, (axis,)), strides=self.layout(shape))]

    def scanned(self, b, env, counters, depth):
        x, t, axis = self.with_axis(b, env)
        name = self.pick(["add", "multiply"] if self.numbers == "whole" else ["add", "maximum"])
        return [self.tamed(b, b.op("scan", (x,), t.shape, (name, axis), strides=self.layout(t.shape)), True)]

    def recurrent(self, b, env, counters, depth):
        x, t, axis = self.with_axis(b, env)
        a = self.filling(b, env, t.shape)
        a = self.tamed(b, a, True) if self.numbers == "whole" else b.ew("multiply", b.ew("tanh", a), b.const(0.5))
        if t.shape[axis] > 100:  # one op of NumPy for each step in the reference interpreter
            return []
        return [self.tamed(b, b.op("linrec", (a, x), t.shape, (axis, int(self.rng.integers(2)))), True)]

    def contracted(self, b, env, counters, depth):
        x, t, _ = self.with_axis(b, env)
        letters = "ijklqrst"[: t.ndim]
        y = self.value(b, env, lambda s: s.ndim and s.shape[-1] == t.shape[-1] and s.size * t.size < 10**6)
        if y is None or self.chance(0.3):
            return [self.tamed(b, b.op("einsum", (x, x), (), f"{letters},{letters}->"), True)]
        other = "mnopuvwx"[: b.tape.type(y).ndim - 1] + letters[-1]
        shape = (*t.shape[:-1], *b.tape.type(y).shape[:-1])
        if np.prod(shape) > LARGEST:
            return []
        y = self.tamed(b, y, True)
        return [self.tamed(b, b.op("einsum", (x, y), shape, f"{letters},{other}->{letters[:-1]}{other[:-1]}"), True)]

    # ---- loops and branches

    def carried(self, b, env):
        """Values to be carried, and others that are read."""
        found = [v for v in env if b.tape.type(v).dtype == F8]
        carries = [self.late(found) for _ in range(self.rng.integers(1, 4))]
        return carries, [self.late(env) for _ in range(self.rng.integers(1, 4))]

    def changed(self, b, heads, env):
        """For each of `heads` a value of its type, most often a new one."""
        outputs = []
        for head in heads:
            t = b.tape.type(head)
            fits = [v for v in env if b.tape.type(v) is t]
            outputs.append(self.tamed(b, self.late(fits), self.numbers == "whole") if self.chance(0.8) else self.late(fits))
        return outputs

    def looped(self, b, env, counters, depth):
        trips = int(self.pick([0, 1, 2, 3, 5]))
        carries, invariants = self.carried(b, env)
        invariants += [v for v in env if b.tape.type(v) is b.tape.pool.type(I8, ())][:1]

        def step(inside, j, *values):
            here = [*zip(values[len(values) - len(counters) :], (n for _, n in counters), strict=True), (j, trips)]
            inner = [*values, *self.statements(inside, values, here, self.rng.integers(1, 5), depth - 1)]
            return self.changed(inside, values[: len(carries)], inner)

        return list(b.loop(trips, carries, [*invariants, *(c for c, _ in counters)], step, bool(self.rng.integers(2))))

    def branched(self, b, env, counters, depth):
        carries, invariants = self.carried(b, env)
        index, (_, count) = self.place(b, env, counters, int(self.pick([1, 2, 3])))

        def way(inside, *values):
            here = list(zip(values[len(values) - len(counters) :], (n for _, n in counters), strict=True))
            inner = [*values, *self.statements(inside, values, here, self.rng.integers(0, 4), depth - 1)]
            return self.changed(inside, values[: len(carries)], inner)

        return list(b.branch(index, carries, [*invariants, *(c for c, _ in counters)], *[way] * count))

    # ---- inputs

    def point(self, tape=None):
        """Inputs for the tape, or for one made from it."""
        tape = self.tape if tape is None else tape
        return [self.sample(tape.type(v)) for v in tape.inputs]

    def sample(self, t):
        if t.dtype.kind == "i":
            return self.rng.integers(-50, 50, t.shape)
        if self.numbers == "whole":
            return self.rng.integers(-1, 2, t.shape).astype(t.dtype)
        x = self.rng.uniform(-1.5, 1.5, t.shape)
        return (x + 1j * self.rng.uniform(-1, 1, t.shape) if t.dtype.kind == "c" else np.asarray(x)).astype(t.dtype)
