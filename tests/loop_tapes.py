"""Tapes with loops and branches for tests: built by hand, and at random."""

import numpy as np

from sparsead.ops.branch import BRANCH, Branch
from sparsead.ops.loop import LOOP, Loop
from sparsead.ops.moving import Moving
from sparsead.tape._memory import address, blank
from sparsead.tape._tape import Tape
from sparsead.tape.spec import BY_NAME, View
from tapes import F8, I8, Builder, random_window


class LoopBuilder(Builder):
    """A `Builder` of loops: ``b.loop(3, [u], [f], lambda b, j, u, f: [b.ew("add", u, f)])``."""

    def __init__(self, pool=None):
        super().__init__()
        self.tape = Tape(pool)

    def like(self, v):
        """An input of the type of `v`, a value of a tape on the same pool."""
        return self.input(v.shape, v.dtype, v.strides)

    def loop(self, trips, carries, invariants, step, backward=False):
        """The results of a loop; ``step(builder, trip, *carries, *invariants)`` gives the carries after a trip."""
        inside = LoopBuilder(self.tape.pool)
        types = [self.tape.type(v) for v in carries]
        j = inside.input((), I8)
        inputs = [inside.like(self.tape.type(v)) for v in [*carries, *invariants]]
        outputs = step(inside, j, *inputs)
        assert [inside.tape.type(v) for v in outputs] == types
        inside.done(*outputs)
        return self.tape.add(LOOP, [*carries, *invariants], types, Loop(inside.tape, trips, len(carries), backward))

    def branch(self, which, carries, invariants, *ways):
        """The results of a branch; ``way(builder, *carries, *invariants)`` gives the carries of each of `ways`."""
        types, bodies = [self.tape.type(v) for v in carries], []
        for way in ways:
            inside = LoopBuilder(self.tape.pool)
            outputs = way(inside, *[inside.like(self.tape.type(v)) for v in [*carries, *invariants]])
            assert [inside.tape.type(v) for v in outputs] == types
            bodies.append(inside.done(*outputs))
        return self.tape.add(BRANCH, [*carries, *invariants, which], types, Branch(bodies, len(carries)))

    def moving(self, x, window, limits):
        """The attribute and offset of a window that moves: ``window(array, *indices)``."""
        t = self.tape.type(x)
        array = blank(t.shape, t.strides, t.dtype)
        lows = [low for low, _ in limits]
        first = window(array, *lows)
        place = lambda indices: address(window(array, *indices)) - address(array)
        steps = [
            place([low + (i == k) for i, low in enumerate(lows)]) - place(lows) if high - limits[k][0] > 1 else 0
            for k, (low, high) in enumerate(limits)
        ]
        offset = place(lows) - sum(step * low for step, low in zip(steps, lows, strict=True))
        return Moving(View(first.shape, first.strides, t.dtype), tuple(steps), tuple(limits)), offset

    def load_at(self, x, window, indices, limits):
        attr, offset = self.moving(x, window, limits)
        return self.op("load_at", (x, *indices), attr.view.shape, attr, offset, attr.view.dtype)

    def write_at(self, name, x, window, v, indices, limits):
        t = self.tape.type(x)
        return self.op(name, (x, v, *indices), t.shape, *self.moving(x, window, limits), t.dtype, t.strides)

    def store_at(self, x, window, v, indices, limits):
        return self.write_at("store_at", x, window, v, indices, limits)

    def accumulate_at(self, x, window, v, indices, limits):
        return self.write_at("accumulate_at", x, window, v, indices, limits)

    def integer(self, name, a, b):
        """An integer op on a value and a number."""
        return self.op(name, (a, self.const(np.int64(b))), (), dtype=I8)

    def guard(self, v, value):
        self.tape.add(BY_NAME["guard"], (v,), (), value)

    def zeros(self, shape, strides=None):
        return self.op("zeros", (), shape, strides=strides)

    def empty(self, shape, strides=None):
        return self.op("empty", (), shape, strides=strides)


def row(a, k):
    """The window that most streams are read and written by."""
    return a[k, ...]


# ---- random loops ----------------------------------------------------------------------------------------------------

SMOOTH = ["sin", "tanh", "arctan"]


class RandomLoop(LoopBuilder):
    """A tape with one or two loops of random ops on vectors, scalars, matrices and streams of rows."""

    KINDS = ("unary", "binary", "window", "store", "sum", "scan", "gather", "scatter", "select", "copy", "read", "write", "write",
             "read")  # fmt: skip
    NESTED = ("looped",) * 4
    n, rows = 3, 7  # of vectors and streams
    outside = 0  # depth to which statements outside of the first loops may nest

    def __init__(self, seed, depth=2):
        super().__init__()
        self.rng = np.random.default_rng(seed)
        vector = self.input((self.n,))
        scalar, stream = self.input(()), self.input((self.rows, self.n))
        env = [vector, scalar, stream, self.input((2, self.n), strides=self.layout((2, self.n)))]
        for _ in range(self.rng.integers(1, 3)):
            env += self.statements(self, env, [], self.rng.integers(0, 3), self.outside)
            env += self.looped(self, env, [], depth)
        env += self.statements(self, env, [], self.rng.integers(0, 4), self.outside)
        picked = self.rng.permutation(len(env))[:3]
        self.done(*(env[k] for k in picked), self.mixed(self, vector, env), env[-1])

    def layout(self, shape):
        order = self.rng.permutation(len(shape))
        return np.empty([shape[k] for k in order]).transpose(np.argsort(order)).strides

    def choose(self, b, env, shape=None, dtype=F8):
        """A random value among `env` of this shape, the later ones more often; None if there is none."""
        found = [v for v in env if b.tape.type(v).dtype == dtype and (shape is None or b.tape.type(v).shape == shape)]
        return found[-1 - int(len(found) * self.rng.random() ** 2)] if found else None

    def filling(self, b, env, shape):
        """A random value of this shape, or a constant if there is none."""
        v = self.choose(b, env, shape)
        return b.const(np.full(shape, 0.25)) if v is None or self.rng.random() < 0.1 else v

    def statements(self, b, env, counters, count, depth):
        """Values of `count` random statements appended to `b`."""
        env, made = list(env), []
        for _ in range(count):
            kind = self.rng.choice([*self.KINDS, *self.NESTED * (depth > 0)])
            law = getattr(self, kind if kind in self.NESTED else f"_{kind}")
            found = law(b, env, counters, depth)
            found = found if isinstance(found, list) else [found]
            made += found
            env += found
        return made

    def _unary(self, b, env, counters, depth):
        x = self.choose(b, env)
        if self.rng.random() < 0.15:
            return b.ew("tanh", b.ew("log", b.ew("add", b.ew("square", x), b.const(0.5))))
        return b.ew(self.rng.choice(SMOOTH), x)

    def _binary(self, b, env, counters, depth):
        x = self.choose(b, env)
        y = self.choose(b, env, self.pick([b.tape.type(x).shape, b.tape.type(x).shape, ()]))
        y = b.const(0.3) if y is None else y
        name = self.pick(["add", "subtract", "multiply", "multiply", "divide", "maximum"])
        if name == "divide":
            y = b.ew("add", b.ew("square", y), b.const(1.0))
        return self.bounded(b, b.ew(name, x, y))

    def pick(self, items):
        return items[self.rng.integers(len(items))]

    def bounded(self, b, v):
        return b.ew("tanh", v) if self.rng.random() < 0.5 else b.ew("sin", v)

    def _window(self, b, env, counters, depth):
        return b.load(self.choose(b, env), lambda a: random_window(self.rng, a, False))

    def _store(self, b, env, counters, depth):
        x = self.choose(b, env)
        t = b.tape.type(x)
        window, offset = b.view(x, lambda a: random_window(self.rng, a, True))
        v = self.filling(b, env, window.shape)
        return b.op(self.pick(["store", "accumulate"]), (x, v), t.shape, window, offset, t.dtype, t.strides)

    def _sum(self, b, env, counters, depth):
        x = self.choose(b, env)
        t = b.tape.type(x)
        if not t.ndim:
            return x
        axis = int(self.rng.integers(t.ndim))  # one: the order of a sum over more depends on the layout of what is summed
        return b.ew("tanh", b.op("sum", (x,), t.shape[:axis] + t.shape[axis + 1 :], (axis,)))

    def _scan(self, b, env, counters, depth):
        x = self.filling(b, env, (self.n,))
        name = self.pick(["add", "multiply"])
        return b.ew("sin", b.op("scan", (x,), (self.n,), (name, 0)))

    def _gather(self, b, env, counters, depth):
        x = self.choose(b, env)
        size = b.tape.type(x).size
        return b.op("gather", (x, b.const(self.rng.integers(0, size, (self.n,)))), (self.n,))

    def _scatter(self, b, env, counters, depth):
        x, v = self.choose(b, env), self.filling(b, env, (self.n,))
        t = b.tape.type(x)
        pos = b.const(self.rng.integers(0, t.size, (self.n,)))
        return b.op(self.pick(["scatter", "scatter_add"]), (x, pos, v), t.shape, strides=t.strides)

    def _select(self, b, env, counters, depth):
        x = self.choose(b, env)
        t = b.tape.type(x)
        y = self.choose(b, env, t.shape)
        condition = b.ew("less", y, b.const(0.1))
        return b.op("select", (condition, x, self.choose(b, env, t.shape)), t.shape, strides=t.strides)

    def _copy(self, b, env, counters, depth):
        x = self.choose(b, env)
        shape = b.tape.type(x).shape
        return b.op("copy", (x,), shape, strides=self.layout(shape))

    def place(self, b, counters, size):
        """(index, limits) of a row among `size`, moving with counters if there are any."""
        if not counters or self.rng.random() < 0.1:
            return b.const(np.int64(self.rng.integers(size))), (0, size)
        j, trips = self.pick(counters)
        kind = self.rng.integers(4)
        if kind == 0 and trips < size:
            return b.integer("add", j, int(self.rng.integers(size - trips + 1))), (0, size)
        if kind == 1:
            return b.integer("remainder", b.integer("multiply", j, int(self.rng.integers(1, 4))), size), (0, size)
        if kind == 2 and len(counters) > 1:
            i, _ = counters[0]
            return b.integer("remainder", b.op("add", (i, j), (), dtype=I8), size), (0, size)
        return b.op("subtract", (b.const(np.int64(size - 1)), b.integer("remainder", j, size)), (), dtype=I8), (0, size)

    def moving_window(self, b, x, counters):
        """(window, indices, limits) on a value with rows, or within a row."""
        t = b.tape.type(x)
        index, limits = self.place(b, counters, t.shape[0])
        if t.ndim == 2 and self.rng.random() < 0.3:
            other, more = self.place(b, counters, t.shape[1])
            return (lambda a, i, k: a[i, k, ...]), [index, other], [limits, more]
        if t.ndim == 2 and self.rng.random() < 0.3:
            return (lambda a, i: a[i, ::-2]), [index], [limits]
        return row, [index], [limits]

    def with_rows(self, b, env):
        x = self.choose(b, [v for v in env if b.tape.type(v).ndim])
        return b.const(np.full((self.rows, self.n), 0.5)) if x is None else x

    def _read(self, b, env, counters, depth):
        x = self.with_rows(b, env)
        return b.load_at(x, *self.moving_window(b, x, counters))

    def _write(self, b, env, counters, depth):
        x = self.with_rows(b, env)
        window, indices, limits = self.moving_window(b, x, counters)
        shape = b.moving(x, window, limits)[0].view.shape
        name = self.pick(["store_at", "store_at", "accumulate_at"])
        return b.write_at(name, x, window, self.filling(b, env, shape), indices, limits)

    def looped(self, b, env, counters, depth):
        """The results of a random loop on values of `env`."""
        rng = self.rng
        trips = int(self.pick([0, 1, 2, 3, 4, 5] if depth == 2 else [0, 1, 2, 3]))
        floats = [v for v in env if b.tape.type(v).dtype == F8]
        carries = [self.pick(floats) for _ in range(rng.integers(1, 5))]
        if rng.random() < 0.4:
            # A history without values to begin with has a row for each trip, so that all of it is written.
            carries.append(b.empty((trips, self.n)) if trips and rng.random() < 0.5 else b.zeros((self.rows, self.n)))
        invariants = [self.pick(floats) for _ in range(rng.integers(0, 4))]
        history = rng.random() < 0.4

        def step(inside, j, *values):
            values = list(values)
            around = [(values.pop(), n) for _, n in counters]
            here = [*around, (j, trips)]
            undefined = [v for v, x in zip(values, carries, strict=False) if self.is_empty(b, x)]
            known = [v for v in values if v not in undefined]
            inner = known + self.statements(inside, known, here, rng.integers(1, 7), depth - 1)
            outputs = []
            for head in values[: len(carries)]:
                t = inside.tape.type(head)
                if head in undefined or (history and t.shape == (self.rows, self.n) and rng.random() < 0.5):
                    v = self.filling(inside, inner, (self.n,))
                    index = j if head in undefined else inside.integer("remainder", j, self.rows)
                    outputs.append(inside.store_at(head, row, v, [index], [(0, t.shape[0])]))
                else:
                    fitting = [v for v in inner if inside.tape.type(v) is t]
                    v = fitting[-1 - int(len(fitting) * rng.random() ** 2)]
                    outputs.append(self.mixed(inside, v, inner) if rng.random() < 0.6 else v)
            return outputs

        results = b.loop(trips, carries, invariants + [c for c, _ in counters][::-1], step, bool(rng.integers(2)))
        return list(results)

    def mixed(self, b, v, env):
        """A value of the type of `v` that has a part of many, so that little of a body is dead."""
        t = b.tape.type(v)
        for x in self.rng.permutation(env[-6:])[:3].tolist():
            pos = b.const(self.rng.integers(0, b.tape.type(x).size, t.shape))
            part = b.op("gather", (x, pos), t.shape, strides=t.strides)
            name = self.pick(["add", "subtract", "multiply"])
            v = b.ew(name, v, b.ew("multiply", part, b.const(0.5)) if name != "multiply" else part, strides=t.strides)
        return b.ew("sin", v) if self.rng.random() < 0.7 else v

    def is_empty(self, b, x):
        return b.tape.op(b.tape.maker(x)).op.name == "empty"

    def ew(self, name, *operands, strides=None):
        return super().ew(name, *operands, strides=strides)

    def point(self):
        return [self.rng.uniform(-1, 1, self.tape.type(v).shape) for v in self.tape.inputs]


class RandomBranches(RandomLoop):
    """A random tape with branches, in loops and outside, which counters decide or values."""

    NESTED = ("looped",) * 3 + ("branched",) * 8
    outside = 1

    def branched(self, b, env, counters, depth):
        rng, count = self.rng, int(self.rng.integers(2, 4))
        floats = [v for v in env if b.tape.type(v).dtype == F8]
        carries = [self.pick(floats) for _ in range(rng.integers(1, 4))]
        invariants = [self.pick(floats) for _ in range(rng.integers(0, 3))]

        def way(inside, *values):
            values = list(values)
            here = [(values.pop(), n) for _, n in counters]
            inner = values + self.statements(inside, values, here, rng.integers(0, 4), depth - 1)
            outputs = []
            for head in values[: len(carries)]:
                fitting = [v for v in inner if inside.tape.type(v) is inside.tape.type(head)]
                v = fitting[-1 - int(len(fitting) * rng.random() ** 2)]
                outputs.append(self.mixed(inside, v, inner) if rng.random() < 0.3 else head if rng.random() < 0.3 else v)
            return outputs

        passed = invariants + [c for c, _ in counters][::-1]
        return list(b.branch(self.which(b, floats, counters, count), carries, passed, *[way] * count))

    def which(self, b, floats, counters, count):
        """The number of one of `count` bodies."""
        if counters and self.rng.random() < 0.6:
            return b.integer("remainder", b.integer("add", self.pick(counters)[0], int(self.rng.integers(3))), count)
        x = b.load(self.pick(floats), lambda a: a[(*(0,) * a.ndim, ...)])
        condition = b.op("less", (x, b.const(0.1)), (), dtype=bool)
        first, second = (b.const(np.int64(k)) for k in self.rng.permutation(count)[:2])
        return b.op("select", (condition, first, second), (), dtype=I8)
