"""Solutions of equations inside differentiated functions: `root` and `fixed_point`.

Law: while a function is traced, the equation is recorded by itself, on the numbers of the moment, and is one op with its
solution as the result (`sparsead.ops.implicit`). What the equation captures of the enclosing trace are parameters like the
others. Outside of traces only the solver runs.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from sparsead.derivatives.black_box import outside_of_traces
from sparsead.derivatives.equations import Equation, System, identity_of
from sparsead.derivatives.inputs import is_under, places_of, wrt_leaves
from sparsead.derivatives.nested import Numbers
from sparsead.derivatives.nested import _operand as operand_of
from sparsead.derivatives.nested import _plain as plain_of
from sparsead.derivatives.outputs import collect
from sparsead.derivatives.prepared import Derivative
from sparsead.tape._memory import blank
from sparsead.tape.spec import BY_NAME, GuardFailed
from sparsead.tracing._traced import CURRENT, Traced, TracedArray, concrete_of
from sparsead.tracing.record import bind, name_of, record, signature
from sparsead.tracing.substitution import Replacement, Walk, resolve
from sparsead.transform._simplify import simplify
from sparsead.transform.loops.rewrite import without_effects


class Solver:
    """How an equation is solved: the iteration, or the user's solver. Equal if it does the same.

    Attributes
    ----------
    kind : {"root", "fixed_point"}
    label : str
        What the user called, for messages.
    """

    def __init__(self, kind, name, tol, max_steps, solver, linear_solver):
        self.kind, self.label = kind, f"sparsead.{kind}({name})"
        self.tol, self.max_steps, self.solver, self.linear_solver = tol, max_steps, solver, linear_solver
        if tol is not None and not (isinstance(tol, (float, int)) and tol > 0):
            raise ValueError(f"{self.label}: tol={tol!r} has to be a positive number")
        if isinstance(max_steps, bool) or not isinstance(max_steps, (int, np.integer)) or max_steps < 1:
            raise ValueError(f"{self.label}: max_steps={max_steps!r} has to be an integer of 1 or more")
        for what, given in (("solver", solver), ("linear_solver", linear_solver)):
            if given is not None and not callable(given):
                raise TypeError(f"{self.label}: {what}= has to be a function, got {type(given).__name__}")

    @property
    def fixed(self):
        """Whether the function is f of x = f(x), not a residual."""
        return self.kind == "fixed_point"

    @property
    def key(self):
        """What makes two solvers the same."""
        return self.label, self.tol, self.max_steps, identity_of(self.solver), identity_of(self.linear_solver)

    def solution(self, at, x):
        """The solution, from `x` on, of the equation that ``at(x) -> (equation, point, value)`` evaluates."""
        if self.solver is not None:
            return self._by_user(at, x)
        return self._iterated(at, x)

    def _by_user(self, at, x):
        given = outside_of_traces(self.solver, (lambda z: _value_at(at, z, x), x.copy()[()]))
        found = np.asarray(given)
        if isinstance(given, Traced) or found.shape != x.shape or found.dtype.kind not in "fiu":
            raise ValueError(f"{self.label}: solver gave {_described(given)}; it has to give x, an array of shape {x.shape}")
        if not np.isfinite(found).all():
            raise FloatingPointError(f"{self.label}: solver gave NaN or infinity")
        return found.astype(x.dtype)

    def _iterated(self, at, x):
        eps = np.finfo(x.dtype).eps
        tol = self.tol or (eps**0.75 if self.fixed else eps**0.5)
        for step in range(self.max_steps):
            before, (equation, point, value) = x, at(x)
            if not np.isfinite(value).all():
                raise FloatingPointError(f"{self.label}: {'f' if self.fixed else 'the residual'} is NaN or infinite at step "
                                         f"{step}, for x of {_described(x)}; start closer, or give a solver=")  # fmt: skip
            x = value.copy() if self.fixed else x - equation.solve(value, point, False, self.linear_solver)
            change, size = _largest(x - before), _largest(x)
            if not np.isfinite(size):
                break
            if change <= tol * max(1.0, size):
                return x
        raise RuntimeError(f"{self.label}: no convergence in {step + 1} steps: the last one changes x, of {_described(x)}, by "
                           f"{change:.3g}, more than tol={tol:.3g} allows; start closer, allow more with max_steps=, or give "
                           "a solver=")  # fmt: skip


def _value_at(at, z, like):
    """What ``at`` evaluates at the user's `z`, an array of the type of `like`."""
    return at(np.array(z, like.dtype).reshape(like.shape))[2].copy()[()]


def _largest(x):
    return float(np.max(np.abs(x), initial=0.0))


def _described(x):
    if isinstance(x, (np.ndarray, np.generic, float, int)) and not isinstance(x, bool):
        return f"shape {np.shape(x)} and dtype {np.asarray(x).dtype}"
    return "None" if x is None else f"a {type(x).__name__}"


class Implicit:
    """The attribute of an implicit op: the solver, the equation at the solution, and on other paths through its code.

    Equal if it does the same.
    """

    def __init__(self, solver, equation, others=()):
        self.solver, self.equation, self.others = solver, equation, tuple(others)

    def solution(self, x0, parameters):
        """The solution from `x0` on; GuardFailed where it is on another path than before, or the iteration on an unknown one."""
        return outside_of_traces(self._solution, (x0, parameters))

    def _solution(self, x0, parameters):
        x = self.solver.solution(lambda x: _at([self.equation, *self.others], [x, *parameters]), np.array(x0))
        if self.equation.guarded:
            _at([self.equation], [x, *parameters])
        return x

    def system(self, transposed):
        """The `System` of its derivatives."""
        return System(self.equation, transposed, self.solver.linear_solver)

    def onto(self, pool):
        """The same on another pool."""
        return Implicit(self.solver, self.equation.onto(pool), [e.onto(pool) for e in self.others])

    @property
    def _key(self):
        return self.solver.key, self.equation, self.others

    def __eq__(self, other):
        return type(other) is Implicit and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def __repr__(self):
        return self.solver.label


def _at(equations, point):
    """(equation, point, value) of the first of `equations` that holds at the point."""
    for equation in equations:
        try:
            return equation, point, equation.value(point)
        except GuardFailed:
            continue
    raise GuardFailed(f"{equations[0].label}: a branch of the function goes another way than in the trace")


# ---- recording an equation ----------------------------------------------------------------------------------------------


def _equation(tape, position, solver):
    """The `Equation` of a recorded function whose input `position` is x; the other inputs follow in their order."""
    tape = tape.copy()
    x = tape.inputs[position]
    t = tape.type(x)
    shapes = [tape.type(v).shape for v in tape.outputs]
    if shapes != [t.shape]:
        what = f"shape {shapes[0]}" if len(shapes) == 1 else f"{len(shapes)} values"
        raise ValueError(f"{solver.label}: the function gave {what}; it has to give one value of the shape {t.shape} of x")
    (value,) = tape.outputs
    if tape.type(value).dtype != t.dtype:
        (value,) = tape.add(BY_NAME["cast"], (value,), [t])
    tape.inputs = [x, *(v for v in tape.inputs if v != x)]
    tape.outputs = [value]
    return Equation(simplify(tape), solver.fixed, solver.label)


def _input_of(recording, place, solver, given):
    """Position among the tape's inputs of what stands at `place`."""
    (leaves,) = wrt_leaves(recording, (place,))
    if len(leaves) != 1:
        raise TypeError(f"{solver.label}: x0 has to be a floating array or number, got {_described(given)}")
    return leaves[0].input


class _Path:
    """One path through the function of an equation, recorded inside another trace: which value is which input."""

    def __init__(self, equation, keys):
        self.equation, self.keys = equation, keys
        tape = equation.tape
        read = {v for op in tape for v in op.operands} | set(tape.outputs)
        self.types = {key: tape.type(v) for key, v in zip(keys, tape.inputs, strict=True)}
        self.used = {key for key, v in zip(keys, tape.inputs, strict=True) if v in read}

    def arranged(self, keys, types, pool):
        """The equation with x and the values `keys` as its inputs, on another pool."""
        tape = self.equation.tape.copy()
        known = dict(zip(self.keys, tape.inputs, strict=True))
        for key in keys:
            if key not in known:
                t = types[key]
                (known[key],) = tape.add(BY_NAME["input"], (), [tape.pool.type(t.dtype, t.shape, t.strides)])
        tape.inputs = [known[key] for key in keys]
        tape.names = {v: name for v, name in tape.names.items() if v in tape.inputs}
        return Equation(simplify(tape), self.equation.fixed, self.equation.label).onto(pool)


class _Inside:
    """An equation met in a trace: its parameters there, their numbers, and the paths recorded so far."""

    def __init__(self, trace, function, solver, x, parameters):
        self.trace, self.solver = trace, solver
        self.numbers, self.floats = Numbers(trace), {}
        self.parameters = [self._apart(p) for p in parameters]
        self.function = self._without_enclosing(function)
        self.place = places_of(0, "wrt", name_of(function), list(signature(function).parameters.values()))[0]
        self.paths, self.values, self.known = [], {}, {}
        outside_of_traces(self.at, (x,))

    def _apart(self, obj):
        """`obj` with copies of traced arrays: what a window on memory shows now, wherever a counter moves it."""
        if isinstance(obj, TracedArray):
            return obj.copy()
        if isinstance(obj, dict):
            return {k: self._apart(x) for k, x in obj.items()}
        if isinstance(obj, (list, tuple)) and not hasattr(obj, "_fields"):
            return type(obj)(self._apart(x) for x in obj)
        return obj

    def _without_enclosing(self, function):
        """`function` with plain copies of the traced arrays that it captures, which are parameters too."""
        walk = Walk()
        walk.scan(function, (("function", function),), False)
        plain = {id(t): self.numbers.of(t.copy()) for t in walk.enclosing if isinstance(t, TracedArray)}
        return Replacement(plain, None)(function, (("function", function),)) if plain else function

    def at(self, x):
        """(equation, point, value) at `x`; records the function where no known path leads there."""
        for path in self.paths:
            try:
                return _at([path.equation], self._point(path, x))
            except GuardFailed:
                continue
        token = CURRENT.set(self.trace)
        try:
            path = self._recorded(x)
        finally:
            CURRENT.reset(token)
        self.paths.append(path)
        return _at([path.equation], self._point(path, x))

    def _point(self, path, x):
        return [x, *(self.known[key] for key in path.keys[1:])]

    def _recorded(self, x):
        bound = bind(self.function, (x.copy()[()], *self.parameters), {})
        given, memo = bound.arguments, {}
        for name, value in list(given.items()):
            given[name] = plain_of(value, (("argument", name),), self.numbers, self.floats, memo)
        arguments = dict(given)

        def is_active(path):
            if is_under(path, self.place):
                return True
            traced = self.numbers.traced(resolve(path, arguments))
            if traced is None and path[0][0] == "argument":
                traced = self.floats.get(path)
            return traced is not None and traced.active

        recording = record(self.function, bound, is_active, collect(name_of(self.function), ("return",), False))
        position = _input_of(recording, self.place, self.solver, x)
        keys = self._remember(recording, position)
        silent = outside_of_traces(without_effects, (recording.tape,))  # its iterations are no steps of the function
        equation = outside_of_traces(_equation, (silent, position, self.solver))
        return _Path(equation, ["x", *(key for k, key in enumerate(keys) if k != position)])

    def _remember(self, recording, position):
        """Keys of the tape's inputs; their values in the enclosing trace, and their numbers, by key; of x at `position` none."""
        arrays = [leaf.value for leaf in recording.arrays]
        given = [(("block", k), block) for k, block in enumerate(recording.blocks)]
        given += [(leaf.path, self.floats.get(leaf.path, leaf.value)) for leaf in recording.floats]
        given += [(("import", id(traced)), traced) for _, traced in recording.imports]
        for k, (key, x) in enumerate(given):
            if k == position or key in self.values:
                continue
            if key[0] == "block":
                value, number = self.numbers.block_value(x, arrays), x.memory(arrays)
            else:
                value, number = operand_of(self.trace, x), concrete_of(x)
            self.values[key], self.known[key] = value, np.asarray(number)
        return [key for key, _ in given]

    def varies(self, start):
        """Whether any operand does, so that its number now is not to be relied on behind a loop."""
        return any(self.trace.fact(v)[1] for v in [start, *self.values.values()])

    @property
    def guarded(self):
        """Whether numbers decide the path through the function."""
        return any(path.equation.guarded for path in self.paths)

    def op(self, start, x):
        """Put the implicit op on the tape; `start` is the value of the starting point, `x` the number of the solution."""
        last, _, _ = outside_of_traces(self.at, (x,))
        used = set().union(*(path.used for path in self.paths)) - {"x"}
        types = {key: t for path in self.paths for key, t in path.types.items()}
        keys = ["x", *(key for key in self.values if key in used)]
        pool = self.trace.tape.pool
        order = sorted(self.paths, key=lambda path: path.equation is not last)
        equation, *others = (outside_of_traces(path.arranged, (keys, types, pool)) for path in order)
        attr = Implicit(self.solver, equation, others)
        operands = [start, *(self._defined(self.values[key]) for key in keys[1:])]
        return self.trace.op("implicit", operands, x.dtype, x.shape, attr)

    def _defined(self, v):
        """Value `v`, or zeros for scratch memory that nobody has written yet."""
        tape = self.trace.tape
        if tape.op(tape.maker(v)).op.name != "empty":
            return v
        t = tape.type(v)
        return self.trace.operand(self.trace.fresh(blank(t.shape, t.strides, t.dtype), True))


class _Outside(Derivative):
    """The function of an equation outside of traces, recorded for its Jacobian."""

    kind = "root"

    def __init__(self, function, solver):
        super().__init__(function)
        self.solver = solver

    def at(self, x, parameters):
        """(equation, point, value) at `x`."""
        return self._run((x[()], *parameters), {}, self._work)

    def _work(self, prepared, inputs, arguments):
        (leaf,) = prepared.leaves
        key = "equation", self.solver.label
        equation = prepared.once(key, lambda: _equation(prepared.tape, leaf.input, self.solver))
        point = [np.asarray(inputs[leaf.input]), *(np.asarray(y) for k, y in enumerate(inputs) if k != leaf.input)]
        return equation, point, equation.value(point)


def _start(x0, label):
    """The starting point as a floating array of its own."""
    number = concrete_of(x0) if isinstance(x0, Traced) else x0
    x = np.array(number, order="C")
    if x.dtype.kind in "iu" and not isinstance(number, bool):
        x = x.astype(float)
    if x.dtype.kind != "f":
        raise TypeError(f"{label}: x0 has to be a floating array or number, got {_described(number)}"
                        + ("; complex unknowns are not supported: solve for real and imaginary parts"
                           if x.dtype.kind == "c" else ""))  # fmt: skip
    return x


def _solved(solver, function, x0, parameters):
    trace = CURRENT.get()
    if trace is not None:
        return _solved_inside(trace, solver, function, x0, parameters)
    x = _start(x0, solver.label)
    if solver.fixed or solver.solver is not None:
        return solver.solution(lambda z: (None, None, _called(solver, function, z, parameters)), x)[()]
    outside = _Outside(function, solver)
    return solver.solution(lambda z: outside.at(z, parameters), x)[()]


def _called(solver, function, x, parameters):
    """What the function itself gives at `x`, checked."""
    value = function(x.copy()[()], *parameters)
    if value is None or np.shape(value) != x.shape or np.asarray(value).dtype.kind not in "fiu":
        gave = f"{solver.label}: the function gave {_described(value)}"
        raise ValueError(f"{gave}; it has to give one value of the shape {x.shape} of x")
    return np.asarray(value, x.dtype)


def _solved_inside(trace, solver, function, x0, parameters):
    if isinstance(x0, TracedArray):
        x0 = x0.copy()
    x = _start(x0, solver.label)
    if isinstance(x0, Traced):
        start = trace.c_order(trace.operand(x0, x.dtype))
    else:
        start = trace.constant_value(x.copy() if x.ndim else x[()])
    inside = _Inside(trace, function, solver, x, parameters)
    if not (trace.stale and inside.varies(start)):
        x = outside_of_traces(solver.solution, (inside.at, x))
    elif inside.guarded:
        trace.settle()
        return _solved_inside(trace, solver, function, x0, parameters)
    # Else it is behind a loop whose numbers nobody has asked for: that of the solution will be computed with them.
    return trace.result(x if x.ndim else x[()], inside.op(start, x))


def _state_of(x):
    """Kinds, keys and shapes of an unknown that is a tuple, list or dict; None of anything else."""
    if isinstance(x, dict):
        return "dict", tuple(x), tuple(_state_of(v) or ("array", np.shape(v)) for v in x.values())
    if isinstance(x, (list, tuple)):
        if hasattr(x, "_fields"):
            raise TypeError(f"x0 is a {type(x).__name__}: pass a plain tuple or a dict")
        return type(x).__name__, None, tuple(_state_of(v) or ("array", np.shape(v)) for v in x)
    return None


def _leaves(obj, state, what):
    """The arrays and numbers of a structure, in order."""
    kind, *about = state
    if kind == "array":
        if isinstance(obj, (dict, list, tuple)) or np.shape(obj) != about[0]:
            raise ValueError(f"{what}: a part has shape {np.shape(obj)}, that of x has {about[0]}")
        return [obj]
    keys, parts = about
    if type(obj).__name__ != kind or len(obj) != len(parts) or (keys is not None and set(keys) != set(obj)):
        raise ValueError(f"{what}: expected a {kind} of {len(parts)} parts like x, got a {type(obj).__name__}")
    items = obj if keys is None else [obj[key] for key in keys]
    return [leaf for x, part in zip(items, parts, strict=True) for leaf in _leaves(x, part, what)]


def _joined(obj, state, what):
    """All numbers of a structure as one array."""
    return np.concatenate([np.reshape(x, -1) for x in _leaves(obj, state, what)])


def _taken_apart(z, state, first=0):
    """(structure, end): a structure of the parts of `z` from `first` on."""
    kind, *about = state
    if kind == "array":
        end = first + math.prod(about[0])
        return z[first:end].reshape(about[0]) if about[0] else z[first], end
    keys, parts = about
    found = []
    for part in parts:
        x, first = _taken_apart(z, part, first)
        found.append(x)
    return (dict(zip(keys, found, strict=True)) if kind == "dict" else tuple(found) if kind == "tuple" else found), first


def _flattened(function, state, what, z, *params):
    """`function` of a structure, as a function of one array."""
    return _joined(function(_taken_apart(z, state)[0], *params), state, what)


def _solved_any(solver, function, x0, parameters):
    """Like `_solved`, for structures as well."""
    state = _state_of(x0)
    if state is None:
        return _solved(solver, function, x0, parameters)
    flat = functools.partial(_flattened, function, state, f"{solver.label}: the function gave another structure than x")
    return _taken_apart(_solved(solver, flat, _joined(x0, state, f"{solver.label}: x0"), parameters), state)[0]


def root(residual, x0, *params, tol=None, max_steps=50, solver=None, linear_solver=None):
    """Solve ``residual(x, *params) = 0`` for x, and differentiate the solution by the implicit function theorem.

    Parameters
    ----------
    residual : callable
        ``residual(x, *params) -> array`` of the shape of `x`. It may write into arrays that it makes or captures as scratch, not
        into its arguments, and must give the same result for the same arguments.
    x0 : float, array of floats, or tuple, list or dict of these
        Where the iteration starts. Real; the solution has its shape and dtype. It has no influence on derivatives.
    *params : object
        Numbers, arrays and structures of them. What `residual` captures is a parameter too.
    tol : float, optional
        The iteration ends when a step changes x by no more than ``tol * max(1, max(abs(x)))``. The square root of the spacing of
        floating numbers (1.5e-8 in float64), as the error behind a Newton step is about the square of it.
    max_steps : int
    solver : callable, optional
        ``solver(f, x0) -> x`` in the place of Newton's method, with ``f(x)`` the residual for the parameters of the moment;
        `tol` and `max_steps` do not reach it. A derivative is that of a solution: nobody checks that it is one.
    linear_solver : callable, optional
        ``linear_solver(A, b) -> y`` with A y = b, for Newton steps and for derivatives; A is a
        `scipy.sparse.linalg.LinearOperator` of shape (x.size, x.size) with ``matvec`` and ``rmatvec``, so that no Jacobian is
        formed. Else the sparse Jacobian is factorised: by LAPACK up to 64 unknowns, beyond by `scipy.sparse.linalg.splu`.

    Returns
    -------
    float, ndarray or structure
        x, of the structure of `x0`.

    Raises
    ------
    RuntimeError
        No convergence in `max_steps` steps.
    FloatingPointError
        The residual, its Jacobian, or the solver's result is NaN or infinite.
    numpy.linalg.LinAlgError
        The Jacobian is singular.
    ValueError, TypeError
        The residual has another shape than x; `x0` is complex or no array of numbers; an option is no number or function.

    Notes
    -----
    With A = d(residual)/dx at the solution, a tangent is A dx = -(d(residual)/dp) dp, and the adjoint takes one solution of the
    transposed system: the iterations are not differentiated, and need no memory (Griewank and Walther, Evaluating Derivatives,
    2008, chapter 15; Blondel et al., NeurIPS 2022). Second and higher derivatives follow from the same rule.

    In ``for k in sparsead.steps(n): u = sparsead.root(residual, u, u, k * dt)`` the step is one op of a loop that stays a loop.
    Pass ``k * dt``, not ``k``: an integer parameter is part of the residual's tape, and so of another one at each step. A
    residual with branches on the values of x is traced on every path that an iteration takes while tracing; a step of a
    loop that takes a new one ends in an error, so use ``np.where`` there. While a function is differentiated, loops inside of
    the residual of its equations show nothing by ``on_step``: their steps are the solver's.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def implicit_euler(u, old, dt):
    ...     r = u - old
    ...     r[1:-1] -= dt * (u[2:] - 2 * u[1:-1] + u[:-2] - u[1:-1] ** 3)
    ...     return r
    >>> def simulate(u, dt):
    ...     for k in sparsead.steps(10):
    ...         u = sparsead.root(implicit_euler, u, u, dt)
    ...     return u @ u
    >>> sparsead.grad(simulate)(np.array([0.0, 1.0, 2.0, 0.0]), 0.1).round(6)
    array([0.328262, 0.099326, 0.06192 , 0.322556])

    """
    return _solved_any(Solver("root", name_of(residual), tol, max_steps, solver, linear_solver), residual, x0, params)


def fixed_point(f, x0, *params, tol=None, max_steps=1000, solver=None, linear_solver=None):
    """Solve ``x = f(x, *params)`` by iteration, and differentiate the solution by the implicit function theorem.

    Parameters
    ----------
    f : callable
        ``f(x, *params) -> array`` of the shape of `x`; a contraction near the solution, unless there is a `solver`.
    x0, *params, max_steps, linear_solver
        As in `root`.
    tol : float, optional
        The iteration ends when it changes x by no more than ``tol * max(1, max(abs(x)))``; 1.8e-12 in float64. Where it
        contracts by a factor q, the error is up to q / (1 - q) times that.
    solver : callable, optional
        ``solver(f, x0) -> x`` in the place of the iteration, with ``f(x)`` for the parameters of the moment.

    Returns
    -------
    float, ndarray or structure
        x, of the structure of `x0`.

    Raises
    ------
    RuntimeError, FloatingPointError, numpy.linalg.LinAlgError, ValueError, TypeError
        As `root` does; the Jacobian is I - df/dx, which is needed for derivatives only.

    See Also
    --------
    root : The notes there hold here too.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> kepler = lambda e: sparsead.fixed_point(lambda E: 1.0 + e * np.sin(E), 1.0)
    >>> round(float(sparsead.grad(kepler)(0.1)), 6)
    0.929061

    """
    return _solved_any(Solver("fixed_point", name_of(f), tol, max_steps, solver, linear_solver), f, x0, params)
