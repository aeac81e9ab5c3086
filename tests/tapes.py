"""Tapes for tests: built op by op, built at random, and their Jacobians computed number by number."""

import numpy as np

from sparsead.engine.reference import Program
from sparsead.ops import registry, structural  # noqa: F401  (fills the table of ops)
from sparsead.tape._memory import address, blank
from sparsead.tape._tape import Tape
from sparsead.tape.spec import BY_NAME, View
from sparsead.transform._tangent import tangent

F8, I8 = np.dtype(np.float64), np.dtype(np.int64)


class Builder:
    """Ops appended to a tape, with windows given as functions of an array: ``b.load(x, lambda a: a[1:])``."""

    def __init__(self):
        self.tape = Tape()

    def op(self, name, operands, shape, attr=None, imm=0, dtype=F8, strides=None):
        return self.tape.add(BY_NAME[name], operands, [self.tape.pool.type(dtype, shape, strides)], attr, imm)[0]

    def input(self, shape, dtype=F8, strides=None):
        self.tape.inputs.append(self.op("input", (), shape, dtype=dtype, strides=strides))
        return self.tape.inputs[-1]

    def const(self, value):
        return self.tape.const(np.asarray(value))

    def view(self, x, window):
        t = self.tape.type(x)
        array = blank(t.shape, t.strides, t.dtype)
        part = window(array)
        assert np.shares_memory(part, array) or part.size == 0
        return View(part.shape, part.strides, part.dtype), address(part) - address(array)

    def load(self, x, window, strides=None):
        view, offset = self.view(x, window)
        return self.op("load", (x,), view.shape, view, offset, view.dtype, strides)

    def write(self, name, x, window, v):
        t = self.tape.type(x)
        return self.op(name, (x, v), t.shape, *self.view(x, window), t.dtype, t.strides)

    def store(self, x, window, v):
        return self.write("store", x, window, v)

    def accumulate(self, x, window, v):
        return self.write("accumulate", x, window, v)

    def ew(self, name, *operands, strides=None):
        types = [self.tape.type(v) for v in operands]
        shape = np.broadcast_shapes(*(t.shape for t in types))
        dtype = bool if name in ("equal", "greater", "less") else types[-1].dtype
        if strides is None:
            strides = next((t.strides for t in types if t.shape == shape and t.dtype == dtype), None)
        return self.op(name, operands, shape, dtype=dtype, strides=strides)

    def cast(self, v, dtype):
        t = self.tape.type(v)
        scale = lambda s: s // t.dtype.itemsize * np.dtype(dtype).itemsize
        return self.op("cast", (v,), t.shape, dtype=np.dtype(dtype), strides=tuple(scale(s) for s in t.strides))

    def done(self, *outputs):
        self.tape.outputs = list(outputs)
        self.tape.check()
        return self.tape


def brusselator(n):
    """The tape that the right-hand side of examples/brusselator.py makes."""
    b = Builder()
    y, dy = b.input((2 * n * n,)), b.input((2 * n * n,))
    fields = [lambda a, i=i: a.reshape(2, n, n)[i] for i in (0, 1)]
    u, v = (b.load(y, f) for f in fields)
    edges = [np.s_[1:], np.s_[0], np.s_[:-1], np.s_[-1], np.s_[:, 1:], np.s_[:, 0], np.s_[:, :-1], np.s_[:, -1]]
    sources = [np.s_[:-1], np.s_[-1], np.s_[1:], np.s_[0], np.s_[:, :-1], np.s_[:, -1], np.s_[:, 1:], np.s_[:, 0]]
    for field, x in zip(fields, (u, v), strict=True):
        dy = b.store(dy, field, b.ew("multiply", x, b.const(-4.0)))
        for to, frm in zip(edges, sources, strict=True):
            part = lambda a, field=field, to=to: field(a)[to]
            dy = b.store(dy, part, b.ew("add", b.load(dy, part), b.load(x, lambda a, frm=frm: a[frm])))
    for field in fields:
        dy = b.store(dy, field, b.ew("multiply", b.load(dy, field), b.const(0.1)))
    work = b.ew("multiply", b.ew("multiply", u, u), v)
    du = b.ew("add", b.const(1.0), work)
    du = b.ew("subtract", du, b.ew("multiply", b.const(4.4), u))
    dy = b.store(dy, fields[0], b.ew("add", b.load(dy, fields[0]), du))
    dv = b.ew("subtract", b.ew("multiply", b.const(3.4), u), work)
    dy = b.store(dy, fields[1], b.ew("add", b.load(dy, fields[1]), dv))
    return b.done(dy)


# ---- the oracle ----------------------------------------------------------------------------------------------------


def memory(array, t):
    """The elements of `array` in the order of the memory of a value of type `t`."""
    return structural.flat(np.asarray(array, t.dtype), t)


def jacobian(tape, wrt, of, inputs):
    """d(of)/d(wrt) at `inputs`, one tangent for each column, rows and columns in the order of memory."""
    program, columns = Program(tangent(tape, wrt)), []
    types = [tape.type(tape.inputs[w]) for w in wrt]
    n_out = len(tape.outputs)
    for k, t in enumerate(types):
        for i in range(t.size):
            seeds = [blank(s.shape, s.strides, s.dtype) for s in types]
            for s in seeds:
                s[...] = 0
            structural.flat(seeds[k], t)[i] = 1
            results = program.run([*inputs, *seeds])[n_out:]
            parts = [memory(results[o], tape.type(tape.outputs[o])) for o in of]
            columns.append(np.concatenate([np.zeros(0), *parts]))
    rows = sum(tape.type(tape.outputs[o]).size for o in of)
    return np.array(columns).reshape(len(columns), rows).T


# ---- random tapes ----------------------------------------------------------------------------------------------------

# All values and partials of GROWING ops are positive: nothing cancels, and what is structurally nonzero is a number.
GROWING = {
    "unary": ["sqrt", "log1p", "arctan", "positive"],
    "binary": ["add", "multiply", "hypot", "logaddexp"],
    "reduce": ["multiply", "logaddexp"],
    "scan": ["add", "multiply", "logaddexp"],
}
ANY = {
    "unary": ["sin", "absolute", "floor", "negative", "stop_gradient", "tanh"],
    "binary": ["subtract", "multiply", "maximum", "copysign", "heaviside", "arctan2", "nextafter"],
    "reduce": ["maximum", "multiply"],
    "scan": ["minimum", "add"],
}
CONTRACTIONS = ["ij,j->i", "ij,kj->ki", "i,j->ij", "ij,jk->ik", "ii->i", "ij->", "ijk,ik->kj", "ij,i->ji", "i,i,i->", "iij,j->i"]


def random_window(rng, a, injective):
    """A view of `a`: slices, permuted and dropped axes, diagonals; repeated elements too unless `injective`."""
    for _ in range(rng.integers(0, 4)):
        kind = rng.choice(["slice", "transpose", "index", "diagonal", "newaxis", "flat", "repeat", "slide"])
        if kind == "slice":
            a = a[(*(slice(None, None, rng.choice([1, -1, 2, -2])) for _ in a.shape), ...)]
        elif kind == "transpose":
            a = a.transpose(rng.permutation(a.ndim))
        elif kind == "index" and a.ndim and a.size:
            a = np.moveaxis(a, rng.integers(a.ndim), 0)
            a = a[rng.integers(len(a)), ...]
        elif kind == "diagonal" and a.ndim > 1:
            a = a.diagonal()
        elif kind == "newaxis" and a.ndim < 3:
            a = np.expand_dims(a, rng.integers(a.ndim + 1))
        elif kind == "flat" and np.shares_memory(a, a.reshape(-1)):
            a = a.reshape(-1)
        elif kind == "repeat" and not injective and a.ndim < 3:
            a = np.broadcast_to(a, (2, *a.shape))
        elif kind == "slide" and not injective and a.ndim == 1 and len(a) > 1:
            a = np.lib.stride_tricks.sliding_window_view(a, 2)
    return a


class RandomTape(Builder):
    """A tape of random ops on small arrays of all layouts; `values` are those that later ops may read."""

    def __init__(self, seed, names):
        super().__init__()
        self.rng, self.names = np.random.default_rng(seed), names
        self.values = [self.input(shape, strides=self.layout(shape)) for shape in (self.shape(3), self.shape(2), ())]
        self.parameter = self.input((3, 2))
        self.index = self.input((3,), I8)
        self.values.append(self.parameter)
        for _ in range(self.rng.integers(4, 16)):
            step = self.rng.choice([
                self.elementwise, self.windowed, self.stored, self.accumulated, self.gathered, self.scattered, self.summed,
                self.scanned, self.recurrent, self.contracted, self.converted, self.masked, self.chosen,
            ])  # fmt: skip
            self.values.append(self.bounded(step()))
        picked = self.rng.permutation(len(self.values))[:3]
        self.done(*(self.values[k] for k in picked), self.values[-1])

    def shape(self, ndim):
        return tuple(int(n) for n in self.rng.integers(1, 4, ndim))

    def layout(self, shape, dtype=F8):
        """Strides of a dense array with its axes in random order."""
        order = self.rng.permutation(len(shape))
        array = np.empty([shape[k] for k in order], dtype).transpose(np.argsort(order))
        return array.strides

    def pick(self, ndim=0):
        found = [v for v in self.values if self.tape.type(v).ndim >= ndim]
        v = found[self.rng.integers(len(found))]
        return v if self.tape.type(v).dtype == F8 else self.cast(v, F8)

    def filling(self, shape):
        """A value of this shape: elements from anywhere in another one, or a constant."""
        if self.rng.random() < 0.1:
            return self.const(np.full(shape, 0.7))
        return self.gather(self.pick(), self.positions(shape))

    def fitting(self, shape):
        """A value that broadcasts to this shape."""
        if self.rng.random() < 0.2:
            return self.load(self.pick(), lambda a: a[(*(0,) * a.ndim, ...)])
        return self.filling(shape)

    def bounded(self, v):
        """Small values, away from zero: then no partial is zero that need not be."""
        if self.names is GROWING:
            return self.ew("add", self.ew("log1p", v), self.const(self.tape.type(v).dtype.type(0.3)))
        return self.ew("tanh", v)

    # Each of these appends an op of one kind and returns its value.

    def elementwise(self):
        x = self.pick()
        if self.rng.random() < 0.3:
            return self.ew(self.rng.choice(self.names["unary"]), x)
        shape = self.tape.type(x).shape
        y = self.fitting(tuple(n if self.rng.random() < 0.7 else 1 for n in shape[self.rng.integers(len(shape) + 1) :]))
        operands = (x, y) if self.rng.random() < 0.5 else (y, x)
        return self.ew(self.rng.choice(self.names["binary"]), *operands, strides=self.layout(shape))

    def windowed(self):
        return self.load(self.pick(), lambda a: random_window(self.rng, a, False))

    def stored(self):
        return self.written("store", True)

    def accumulated(self):
        return self.written("accumulate", False)

    def written(self, name, injective):
        x = self.pick()
        window, offset = self.view(x, lambda a: random_window(self.rng, a, injective))
        t = self.tape.type(x)
        return self.op(name, (x, self.filling(window.shape)), t.shape, window, offset, t.dtype, t.strides)

    def positions(self, shape):
        """Positions in memory: those of `pick`'s first element or so; folded into range by `gather`."""
        return self.rng.integers(-9, 9, shape)

    def fold(self, x, pos):
        size = self.tape.type(x).size
        if self.rng.random() < 0.3 and pos.shape == (3,):  # an index array that is an input
            return self.ew("remainder", self.index, self.const(np.int64(size)))
        return self.const(np.where(pos < 0, -1 - (-1 - pos) % size, pos % size))

    def gather(self, x, pos):
        return self.op("gather", (x, self.fold(x, pos)), pos.shape, strides=self.layout(pos.shape))

    def gathered(self):
        return self.gather(self.pick(), self.positions(self.shape(self.rng.integers(3))))

    def scattered(self):
        x, pos = self.pick(), self.positions(self.shape(self.rng.integers(1, 3)))
        name, t = self.rng.choice(["scatter", "scatter_add"]), self.tape.type(x)
        return self.op(name, (x, self.fold(x, pos), self.filling(pos.shape)), t.shape, strides=t.strides)

    def axes(self, t):
        return tuple(k for k in range(t.ndim) if self.rng.random() < 0.6) or (0,)

    def summed(self):
        x = self.pick(ndim=1)
        axes = self.axes(self.tape.type(x))
        shape = tuple(n for k, n in enumerate(self.tape.type(x).shape) if k not in axes)
        if self.rng.random() < 0.5:
            return self.op("sum", (x,), shape, axes, strides=self.layout(shape))
        name = self.rng.choice(self.names["reduce"])
        return self.op("reduce", (x,), shape, (str(name), axes[:1])) if len(axes) == 1 else self.op("sum", (x,), shape, axes)

    def scanned(self):
        x = self.pick(ndim=1)
        t = self.tape.type(x)
        attr = (str(self.rng.choice(self.names["scan"])), int(self.rng.integers(t.ndim)))
        return self.op("scan", (x,), t.shape, attr, strides=self.layout(t.shape))

    def recurrent(self):
        x = self.pick(ndim=1)
        t = self.tape.type(x)
        attr = (int(self.rng.integers(t.ndim)), int(self.rng.integers(2)))
        return self.op("linrec", (self.gather(self.pick(), self.positions(t.shape)), x), t.shape, attr)

    def contracted(self):
        subscripts = str(self.rng.choice(CONTRACTIONS))
        inputs, out = subscripts.split("->")
        n = dict(zip("ijk", self.shape(3), strict=True))
        terms = inputs.split(",")
        operands = [self.factor(tuple(n[c] for c in term), len(terms)) for term in terms]
        shape = tuple(n[c] for c in out)
        return self.op("einsum", operands, shape, subscripts, strides=self.layout(shape))

    def factor(self, shape, count):
        if self.rng.random() < 0.4:  # zeros of a constant count as such if there is one other factor
            return self.const(self.rng.choice([0.0, 0.5, 1.0] if count < 3 else [0.5, 1.0], shape))
        return self.gather(self.pick(), self.positions(shape))

    def converted(self):
        x = self.pick()
        if self.rng.random() < 0.5:
            return self.cast(x, np.float32)
        shape = self.tape.type(x).shape
        return self.op("copy", (x,), shape, strides=self.layout(shape))

    def masked(self):
        x = self.pick()
        mask = self.const(self.rng.choice([0.0, 1.0], self.tape.type(x).shape))
        return self.ew("multiply", *((x, mask) if self.rng.random() < 0.5 else (mask, x)))

    def chosen(self):
        a = self.pick()
        shape = self.tape.type(a).shape
        if self.names is GROWING and np.prod(shape) == 1:
            return self.elementwise()  # of scalars both sides count, whatever the condition is
        if self.names is GROWING or self.rng.random() < 0.5:
            condition = self.const(self.rng.random(shape) < 0.5)
        else:
            condition = self.ew("less", self.fitting(shape), self.const(0.4))
        return self.ew("select", condition, a, self.fitting(shape))

    def point(self):
        floats = [self.rng.uniform(0.3, 0.9, self.tape.type(v).shape) for v in self.tape.inputs[:-1]]
        return [*floats, np.array([1, 0, 1])]
