"""Random programs that update arrays in place: source text, arguments, and a list of what really happens in them.

A program is drawn statement by statement. Each draft is run on real numbers, on copies of all that exists so far, and
is kept if it succeeds and its numbers stay moderate; so shapes, overlaps and margins to kinks are known, not guessed.
"""

import itertools
import linecache
import zlib

import numpy as np
from hypothesis import strategies as st

import oracle

SHAPES = [(6,), (4,), (2, 3), (3, 2), (3, 3), (2, 2, 2)]
MARGIN = 0.02  # between numbers and kinks, for the differences that check second derivatives
LARGEST = 8.0


class Program:
    """The source of f(a, b, c), which also reads a captured P and writes a captured W; its arguments, its features."""

    def __init__(self, start, statements, result, of):
        self.args = tuple(start[n] for n in "abc")
        self.captured = {n: start[n] for n in "PW"}
        self.statements, self.result, self.of = statements, result, of
        self.aliased = np.shares_memory(start["a"], start["b"])

    @property
    def source(self):
        lines = [line for text, *_ in self.statements for line in text.splitlines()]
        head = ["def f(a, b, c):", "    P, W = PARAMETER, SCRATCH"]
        return "\n".join([*head, *("    " + line for line in lines), f"    return {self.result}", ""])

    def function(self):
        """The function, with a file name under which tracebacks and listings find its lines."""
        name = f"<program {zlib.crc32(self.source.encode())}>"
        captured = oracle.World()(self.captured)
        namespace = {"np": np, "PARAMETER": captured["P"], "SCRATCH": captured["W"]}
        linecache.cache[name] = (len(self.source), None, self.source.splitlines(keepends=True), name)
        exec(compile(self.source, name, "exec"), namespace)
        return namespace["f"]

    def __repr__(self):
        arguments = "\n".join(f"{n} = {v!r}" for n, v in zip("abc", self.args, strict=True))
        captured = "\n".join(f"{n} = {v!r}" for n, v in self.captured.items())
        return f"\n{self.source}\n{arguments}\n{captured}\nof = {self.of!r}\n"

    def features(self):
        """What occurs in statements that matter: reached by the inputs, and felt by the outputs."""
        felt = {f for k, (_, target, found) in enumerate(self.statements) if self._felt(k, target) for f in found}
        return felt | {"aliased arguments"} if self.aliased and self._felt(len(self.statements) - 1, "b") else felt

    def _felt(self, k, target):
        """Whether the k-th statement's target carries a tangent, and whether the results see a change of it."""
        world = oracle.World(to_complex=True)
        env = {"np": oracle.ComplexNumpy(), **world(dict(zip("abc", self.args, strict=True))), **world(self.captured)}
        for root in (env["a"], env["b"]):
            root += 1j * oracle.STEP * np.cos(np.arange(root.size)).reshape(root.shape)
        for text, *_ in self.statements[: k + 1]:
            exec(text, env)
        active = np.any(np.imag(env[target]))
        env = {n: v.real.astype(complex) if isinstance(v, np.complexfloating) else v for n, v in env.items()}
        for v in env.values():
            if isinstance(v, np.ndarray) and v.dtype.kind == "c" and v.flags.writeable:
                v.imag = 0
        nudged(env, target)
        for text, *_ in self.statements[k + 1 :]:
            exec(text, env)
        out = [eval(self.result, env), env["a"]] if "a" in self.of else [eval(self.result, env)]
        return active and any(np.any(np.imag(o)) for o in out)


def nudged(env, target):
    """Give a variable an imaginary part, in place if it is an array that can be written."""
    if isinstance(env[target], np.ndarray) and env[target].flags.writeable and env[target].dtype.kind == "c":
        env[target] += 1j * oracle.STEP
    else:
        env[target] = env[target] + 1j * oracle.STEP


# ---- drawing


@st.composite
def programs(draw, casts=True, size=12):
    """Programs of up to `size` statements, without float32 if not casts."""
    start, statements = draw(arguments()), []
    env, kinds = oracle.World()(start), [k for k in KINDS if casts or k is not cast]
    for _ in range(2 * draw(st.integers(size // 3, size))):
        kind = draw(st.sampled_from(kinds))
        if len(statements) == size:
            break
        try:
            text, target, features = kind(Drafting(draw, env, f"v{len(statements)}"))
            after = ran(text, env)
        except Unfit:
            continue
        statements.append((text, target, features | observed(env, after, target)))
        env = after
    result = results(env, [target for _, target, _ in statements])
    return Program(start, statements, result, draw(st.sampled_from(["return", "a", ("return", "a")])))


class Unfit(Exception):
    """A statement of the kind drawn cannot be made here, or went wrong."""


def ran(text, env):
    """The variables after a statement, on copies of those before."""
    after = oracle.World()(env)
    with np.errstate(all="raise"):
        try:
            exec(text, {"np": np}, after)
        except (ValueError, IndexError, TypeError, FloatingPointError) as error:  # read-only, misfit, overflow
            raise Unfit from error
    if any(np.size(v) > 18 or np.any(np.abs(v) > LARGEST) for v in after.values()):
        raise Unfit
    return after


def observed(env, after, target):
    """Features that show in memory: layouts, and who shares with whom."""
    v, found = after[target], set()
    if isinstance(v, np.ndarray):
        others = [n for n, o in after.items() if n != target and isinstance(o, np.ndarray) and np.shares_memory(o, v)]
        found |= {"F-order"} if v.flags.f_contiguous and not v.flags.c_contiguous else set()
        found |= {"negative stride"} if any(s < 0 for s in v.strides) else set()
        found |= {"write seen through another view"} if target in env and others else set()
        found |= {"float32"} if v.dtype == np.float32 else set()
    return found


@st.composite
def numbers(draw, shape):
    seed = draw(st.integers(0, 999))
    return np.random.default_rng(seed).uniform(-1.5, 1.5, shape)


@st.composite
def arguments(draw):
    """a, b in all layouts and overlaps, the float c, the captured parameter P and the captured scratch W."""
    shape = draw(st.sampled_from(SHAPES[:5]))
    layout = {
        "C": lambda x: x,
        "F": np.asfortranarray,
        "backwards": lambda x: x[::-1],
        "transposed": lambda x: x.T,
        "every second": lambda x: np.repeat(x, 2, axis=0)[::2],
    }[draw(st.sampled_from(["C", "F", "backwards", "transposed", "every second"]))]
    a = layout(draw(numbers(shape)))
    relation = draw(st.sampled_from(["apart", "apart", "apart", "same", "overlap", "reversed"]))
    b = {
        "apart": lambda: draw(numbers(draw(st.sampled_from(SHAPES[:5])))),
        "same": lambda: a,
        "overlap": lambda: a[1:],
        "reversed": lambda: a[::-1],
    }[relation]()
    c, p = draw(st.sampled_from([0.75, 1.25, -0.5])), draw(numbers(a.shape[-1:]))
    return {"a": a, "b": b, "c": c, "P": p, "W": np.full(a.shape, 0.5)}


def results(env, targets):
    """An expression that joins what was made or changed last, so that most statements matter."""
    last = list(dict.fromkeys(targets[::-1]))[:5] or ["a"]
    parts = [f"{n}.ravel()" if isinstance(env[n], np.ndarray) else f"np.array([{n}])" for n in last]
    return f"np.concatenate([{', '.join(parts)}])"


class Drafting:
    """What a statement can be made of: the variables so far, random choices, expressions that fit a shape."""

    def __init__(self, draw, env, new):
        self.draw, self.env, self.new = draw, env, new

    def pick(self, options):
        if not options:
            raise Unfit
        return self.draw(st.sampled_from(list(options)))

    def arrays(self, fits=lambda v: True, writable=False):
        return [
            n
            for n, v in self.env.items()
            if isinstance(v, np.ndarray) and v.dtype.kind == "f" and fits(v)
            if self.active(n) and (v.flags.writeable or not writable)
        ]

    def active(self, name):
        """Not P, and not W before it has been written: they hold no derivative."""
        return name != "P" and self.env[name].size and np.ptp(self.env[name]) > 0

    def value(self, text):
        return eval(text, {"np": np}, dict(self.env))

    def constant(self):
        return self.pick(["0.5", "1.5", "-0.75", "2", "c"])

    def operand(self, shape):
        """Something that broadcasts to the shape: a variable, a piece of one, or else a number."""
        options = 2 * [n for n, v in self.env.items() if isinstance(v, np.floating)]
        options += ["P"] if self.env["P"].shape == shape[-1:] else []
        for n in self.arrays():
            v = self.env[n]
            if v.ndim <= len(shape) and all(s in (1, t) for s, t in zip(v.shape[::-1], shape[::-1], strict=False)):
                options += [n, n, n]
            if shape and v.ndim == 1 and len(v) > shape[-1]:
                options += [f"{n}[{len(v) - shape[-1]}:]", f"{n}[{shape[-1] - 1}::-1]"]
            if v.ndim and not shape:
                options += [f"{n}[{', '.join(['-1'] * v.ndim)}]"]
        return self.pick(options or [self.constant()])

    def expression(self, shape):
        x, y = self.operand(shape), self.pick([self.operand(shape), self.operand(shape), self.constant()])
        options = [
            f"np.sin({x})", f"np.tanh({x})", f"np.exp(-{x} * {x})", f"np.sqrt(1 + {x} * {x})", f"np.square({x})",
            f"{x} * {y}", f"{x} - {y}", f"0.5 * {x} + {y}", f"{x} / (2 + {y} * {y})", f"np.arctan({x}) * {y}",
        ]  # fmt: skip
        if apart(self.value(x) - self.value(y)):
            options += [f"np.maximum({x}, {y})", f"np.minimum({x}, {y})", f"np.where({x} > {y}, {y} * {y}, {x})"]
        return self.pick(options)

    def threshold(self, name):
        """A number between two elements, at a distance from both."""
        ordered = np.sort(np.ravel(self.env[name]))
        between = [0.5 * (low + high) for low, high in itertools.pairwise(ordered) if high - low > 4 * MARGIN]
        return repr(round(float(self.pick(between)), 3))


def apart(difference):
    return bool(np.all(np.abs(difference) > MARGIN))


# ---- kinds of statements: each returns (text, variable that it makes or changes, features)


def elementwise(d):
    return f"{d.new} = {d.expression(d.env[d.pick(d.arrays())].shape)}", d.new, set()


def view(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0))
    options = [f"{u}.T", f"{u}[::-1]", f"{u}[1:]", f"{u}[..., ::2]", f"{u}[..., 0]", f"{u}[:-1]", f"{u}[None]"]
    return f"{d.new} = {d.pick([*options, f'{u}.swapaxes(0, -1)', f'{u}[::-1].T'])}", d.new, {"view"}


def overlapping_view(d):
    """A view that NumPy will not write to, whose elements may share memory; and a change of its base."""
    u = d.pick(d.arrays(lambda v: v.ndim > 0 and len(v) > 1, writable=True))
    options = {
        f"np.broadcast_to({u}, (2, *{u}.shape))": "broadcast view",
        f"np.lib.stride_tricks.sliding_window_view({u}, 2, axis=0)": "window view",
    }
    text = d.pick(options)
    return f"{d.new} = {text}\n{u}[0] *= c", d.new, {options[text]}


def diagonal(d):
    u = d.pick(d.arrays(lambda v: v.ndim == 2, writable=True))
    return f"{d.new} = np.diagonal({u})\n{u}[-1] *= {d.expression(())}", d.new, {"diagonal view"}


def reshape(d):
    """A reshape that NumPy makes a view or a copy of, and a write through it."""
    u = d.pick(d.arrays(lambda v: v.ndim > 1))
    forms = [f"{u}.reshape(-1)", f"{u}.ravel()", f"{u}.T.reshape(-1)", f"{u}.ravel('K')", f"{u}.reshape({u}.T.shape)"]
    text = d.pick(forms)
    shared = np.shares_memory(d.value(text), d.env[u])
    feature = "write through a reshape that is a view" if shared else "write through a reshape that is a copy"
    return f"{d.new} = {text}\n{d.new}[1:] *= {d.expression(())}", d.new, {feature}


def reshape_of_transposed(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 1))
    t, r = f"t{d.new}", d.new
    flatten = d.pick([f"{t}.reshape(-1)", f"{t}.T.reshape(-1)", f"{t}.ravel('K')", f"{t}.ravel()"])
    lines = f"{t} = {u}.T * 1.5\n{r} = {flatten}\n{r}[0] = {d.expression(())}\n{r}[1:3] *= {d.expression(())}"
    return f"{lines}\n{u}[...] = {t}.T", u, {"write through a reshape of a transposed result"}


def store(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0, writable=True))
    place = d.pick(["[...]", "[1:]", "[:-1]", "[::2]", "[::-1]", "[0]", "[..., 1:]", "[..., 0]"])
    operator = d.pick(["=", "=", "+=", "*=", "-="])
    right = d.expression(np.shape(d.value(u + place)))
    return f"{u}{place} {operator} {right}", u, {"in-place store"}


def overlapping(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0, writable=True))
    pairs = [("[1:]", "[:-1]"), ("[:-1]", "[1:]"), ("[:]", "[::-1]"), ("[1:]", "[:0:-1]")]
    pairs += [("[:]", ".T")] if d.env[u].ndim > 1 and d.env[u].shape == d.env[u].T.shape else []
    to, of = (u + p for p in d.pick(pairs))
    e = d.expression(())
    forms = [f"{to} = {of}", f"{to} += {of}", f"{to} *= {of}", f"np.add({to}, {of}, out={to})", f"{to} = {of} * {e}"]
    return d.pick(forms), u, {"overlapping in-place write"}


def through_another_view(d):
    """A store whose right side shares memory with its left side under another name."""
    pairs = [
        (u, w)
        for u, w in itertools.permutations(d.arrays(lambda v: v.ndim > 0), 2)
        if np.shares_memory(d.env[u], d.env[w]) and d.env[u].shape == d.env[w].shape and u in d.arrays(writable=True)
    ]
    u, w = d.pick(pairs)
    return d.pick([f"{u} += {w}", f"{u}[...] = {w}", f"np.multiply({w}, {w}, out={u})"]), u, {"aliased operands"}


def indices(d, n, count=3):
    found = [d.pick([0, -1, n // 2]) for _ in range(count)]
    return found, {"repeated indices"} if len({i % n for i in found}) < count else set()


def scatter(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0, writable=True))
    i, repeated = indices(d, len(d.env[u]))
    right = d.expression((3, *d.env[u].shape[1:]))
    # NumPy adds a wider value in its own dtype and rounds after each; the tape rounds the value first.
    same = right if d.env[u].dtype == float else f"np.asarray({right}, {u}.dtype)"
    text, what = d.pick([
        (f"{u}[{i}] = {right}", "set"), (f"{u}[{i}] += {right}", "added"), (f"{u}[{i}] *= {right}", "added"),
        (f"np.add.at({u}, {i}, {same})", "at"), (f"np.subtract.at({u}, {i}, {same})", "at"),
    ])  # fmt: skip
    return text, u, {f"{f} {what}" for f in repeated} | {"scatter"}


def gather(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0))
    i, repeated = indices(d, len(d.env[u]))
    return f"{d.new} = {u}[{i}] * {d.constant()}", d.new, {f"{f} read" for f in repeated} | {"gather"}


def masked_store(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0, writable=True))
    t, e = d.threshold(u), d.expression(())
    return d.pick([f"{u}[{u} > {t}] = {e}", f"{u}[{u} < {t}] *= {e}"]), u, {"masked store"}


def masked_read(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0, writable=True))
    forms = ["{u}[m] = {u}[m] * {u}[m]", "{u}[~m] += {u}[m].sum()", "{u}[m] *= np.sin({u}[m])"]
    return f"m = {u} > {d.threshold(u)}\n{d.pick(forms).format(u=u)}", u, {"masked read"}


def predicate(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0, writable=True))
    t, x, y = d.threshold(u), d.expression(d.env[u].shape), d.expression(d.env[u].shape)
    forms = [
        f"np.add({x}, {y}, out={u}, where={u} > {t})",
        f"np.copyto({u}, {x}, where={u} < {t})",
        f"np.divide({x}, {u} - {t}, out={u}, where={u} > {t} + 0.1)",
    ]
    return d.pick(forms), u, {"where="}


def untaken(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0))
    t = d.threshold(u)
    text = f"{d.new} = np.where({u} > {t}, np.sqrt(np.maximum({u} - {t}, 0)) * {d.expression(())}, {u})"
    return text, d.new, {"infinite slope on the side not taken"}


def cast(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0))
    forms = [f"{d.new} = {u}.astype(np.float32)"]
    forms += [f"{d.new} = np.zeros({d.env[u].shape}, dtype=np.float32)\n{d.new}[1:] = {u}[1:] * {d.constant()}"]
    return d.pick(forms), d.new, {"cast"}


def scalar(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0))
    first = f"{u}[{', '.join(['0'] * d.env[u].ndim)}]"
    s = d.new
    forms = [f"{s} = {first}", f"{s} = {u}.sum()", f"{s} = {u}.mean()\n{s} *= {d.constant()}", f"{s} = np.sin({first})"]
    text = d.pick(forms)
    if d.arrays(writable=True) and d.draw(st.booleans()):  # the number is a snapshot: change the array after taking it
        w = u if u in d.arrays(writable=True) else d.pick(d.arrays(writable=True))
        return f"{text}\n{w}[...] *= 0.75\n{w} += {s}", w, {"scalar", "scalar as a snapshot"}
    return text, s, {"scalar"}


def branch(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0))
    t, w = d.threshold(u), d.pick(d.arrays(lambda v: v.ndim > 0, writable=True))
    last = f"{u}[{', '.join(['-1'] * d.env[u].ndim)}]"
    e = d.expression(())
    then, other = (d.pick([f"{w} *= {e}", f"{w} += {e}", f"{w}[1:] = {e}"]) for _ in range(2))
    text = f"if {last} > {t}:\n    {then}\nelse:\n    {other}"
    return text, w, {"branch taken" if d.value(f"{last} > {t}") else "branch not taken"}


def create(d):
    u = d.pick(d.arrays())
    shape = d.env[u].shape
    forms = [f"np.zeros({shape})", f"np.empty({shape})", f"np.empty_like({u}, dtype=float)", f"np.full({shape}, c)"]
    return f"{d.new} = {d.pick(forms)}\n{d.new}[...] = {d.expression(shape)}", d.new, {"created inside"}


def join(d):
    u = d.pick(d.arrays(lambda v: v.ndim > 0))
    forms = [f"np.concatenate([{u}, {u}[:1] * c])", f"np.roll({u}, 1, axis=0)", f"np.stack([{u}, {u}[::-1]])"]
    return f"{d.new} = {d.pick(forms)}", d.new, {"joined"}


def swap(d):
    names = [n for n in d.arrays() if n.startswith("v")]
    pairs = [(u, w) for u, w in itertools.combinations(names, 2) if d.env[u].shape == d.env[w].shape]
    u, w = d.pick(pairs)
    return f"{u}, {w} = {w}, {u}", u, {"swapped names"}


def scratch(d):
    x = d.expression(d.env["W"].shape)
    return f"np.multiply({x}, {d.constant()}, out=W)\nW[1:] += W[:-1]\n{d.new} = W * P", d.new, {"captured scratch"}


KINDS = [
    elementwise, view, view, overlapping_view, diagonal, reshape, reshape_of_transposed, store, store, overlapping,
    through_another_view, scatter, scatter, gather, masked_store, masked_read, predicate, untaken, cast, scalar, branch,
    branch, create, join, swap, swap, scratch,
]  # fmt: skip
