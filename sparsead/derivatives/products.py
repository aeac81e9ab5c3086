"""Products with derivatives: tangents (jvp, linearize), adjoints (vjp), and Hessians (hvp)."""

from __future__ import annotations

import inspect

import numpy as np

from sparsead.derivatives.arranging import Arrangement
from sparsead.derivatives.gradients import _check_scalar
from sparsead.derivatives.inputs import seeds_of
from sparsead.derivatives.nested import execute
from sparsead.derivatives.outputs import slots
from sparsead.derivatives.prepared import Derivative, run_program
from sparsead.ops.effect import begin_sweep
from sparsead.tracing._traced import Traced
from sparsead.tracing.substitution import path_text, resolve
from sparsead.transform._simplify import simplify
from sparsead.transform._split import split
from sparsead.transform._tangent import tangent
from sparsead.transform.loops.rewrite import without_effects


class _Product(Derivative):
    """Shared by the products: seeds in the structure of the arguments."""

    def _signature(self):
        return inspect.signature(lambda *args: None)

    def _seeds(self, prepared, arguments, tangents):
        """Tangents of the tape's active inputs."""
        tangents = tangents if not self._single_wrt else (tangents,)
        if len(tangents) != len(self.wrt):
            raise ValueError(f"wrt names {len(self.wrt)} arguments, {len(tangents)} tangents were given")
        if any(isinstance(t, Traced) for t in tangents):
            return self._traced_seeds(prepared, tangents)
        given = {}
        for place, t in zip(self.wrt, tangents, strict=True):
            obj = resolve(place, arguments)
            if _is_alike(t, obj):
                given[place] = t
            else:
                seeds_of(path_text(place), obj, t, place, given)
        return [_seed(leaves, given) for leaves in prepared.leaves_of_inputs]

    def _traced_seeds(self, prepared, tangents):
        if len(prepared.leaves) != len(tangents):
            raise NotImplementedError("traced tangents of nested structures are not supported")
        return [tangents[k] for k, _ in enumerate(prepared.leaves)]

    def _targets(self, values):
        return values[0] if self._single_of else tuple(values)


def _is_alike(tangent, obj):
    """Whether a tangent needs no conversion: it is an array of the shape and floating dtype of `obj`."""
    return (type(tangent) is np.ndarray and isinstance(obj, np.ndarray) and obj.dtype.kind in "fc"
            and tangent.dtype == obj.dtype and tangent.shape == obj.shape)  # fmt: skip


def _seed(leaves, given):
    """The tangent of an input from those of the leaves that it holds."""
    block = leaves[0].block
    if block is None or (block.whole and len(leaves) == 1):
        return given[leaves[0].path]
    return block.seed({leaf.place: given[leaf.path] for leaf in leaves})


class Jvp(_Product):
    """Callable that gives value and tangent; made by `jvp`."""

    kind = "jvp"

    def __call__(self, *args, **kwargs):
        """``(value, tangent)``; the last positional argument is the tangent of the inputs."""
        *args, tangents = args
        return self._run(tuple(args), kwargs, lambda p, inputs, arguments: self._work(p, inputs, arguments, tangents))

    def _ready(self, prepared):
        self._program(prepared)

    def _program(self, prepared):
        return prepared.once("tangent", lambda: prepared.program(prepared.tangent_tape, "tangent"))

    def _work(self, prepared, inputs, arguments, tangents):
        seeds = self._seeds(prepared, arguments, tangents)
        results = execute(self._program(prepared), [*inputs, *seeds])
        n = len(prepared.tape.outputs)
        values, aux = prepared.values(results[:n])
        dots, _ = prepared.values(results[n:])
        value = self._targets(values)
        return ((value, aux) if self.has_aux else value), self._targets(dots)


class Vjp(_Product):
    """Callable that gives value and pullback; made by `vjp`."""

    kind = "vjp"

    def __call__(self, *args, **kwargs):
        """``(value, pullback)``."""
        return self._run(args, kwargs, self._work)

    def _ready(self, prepared):
        self._halves(prepared)

    def _halves(self, prepared):
        def make():
            forward, reverse = split(prepared.adjoint_tape, prepared.outputs.n_targets)
            n = len(prepared.tape.outputs)
            reverse.outputs = reverse.outputs[n:] + reverse.outputs[:n]
            values = reverse.outputs[len(prepared.active) :]
            reverse.outputs = reverse.outputs[: len(prepared.active)]
            return prepared.program(forward, "forward"), prepared.program(reverse, "reverse"), found_in(reverse, values)

        return prepared.once("halves", make)

    def _work(self, prepared, inputs, arguments):
        if any(not isinstance(x, np.ndarray) for x in inputs):
            return self._work_nested(prepared, inputs, arguments)
        forward, reverse, where = self._halves(prepared)
        residuals = forward.run(inputs)
        results = [residuals[k] if k is not None else constant for k, constant in where]
        values, aux = prepared.values([np.array(r) for r in results])
        value = self._targets(values)
        pullback = Pullback(self, prepared, arguments, lambda seeds: reverse.run([*residuals, *seeds]))
        return ((value, aux) if self.has_aux else value), pullback

    def _work_nested(self, prepared, inputs, arguments):
        values, aux = prepared.values(run_program(prepared, "primal", lambda: prepared.tape, inputs))
        value, n = self._targets(values), len(prepared.tape.outputs)

        def reverse(seeds):
            # The effects of the primal were appended with the primal.
            return run_program(prepared, "pullback", lambda: without_effects(prepared.adjoint_tape), [*inputs, *seeds])[n:]

        return ((value, aux) if self.has_aux else value), Pullback(self, prepared, arguments, reverse)


def found_in(reverse, values):
    """Where the primal outputs are among the residuals: (position, None), or (None, constant)."""
    position = {v: k for k, v in enumerate(reverse.inputs)}
    return [(position[v], None) if v in position else (None, reverse.op(reverse.maker(v)).attr) for v in values]


class Pullback:
    """Maps adjoints of the outputs to adjoints of the inputs; may be called any number of times.

    What it needs of the arguments was kept when the forward sweep ran: they may change afterwards.
    """

    def __init__(self, derivative, prepared, arguments, reverse):
        self._derivative, self._prepared, self._arguments, self._reverse = derivative, prepared, arguments, reverse

    def __call__(self, seed):
        """Adjoint in the structure of the differentiated arguments.

        Parameters
        ----------
        seed : array_like
            Adjoint of the output, in its structure; a tuple of them if ``of`` is a tuple.
        """
        d, prepared = self._derivative, self._prepared
        seeds = seed if not d._single_of else (seed,)
        flat = []
        for target, s in zip(prepared.outputs.targets, seeds, strict=True):
            _flatten_seed(target, s, prepared, flat)
        grads = prepared.once("arranged", lambda: _arrangement(prepared))(self._reverse(flat), self._arguments)
        return grads[0] if d._single_wrt else tuple(grads)


def _arrangement(prepared):
    tape, n = prepared.adjoint_tape, len(prepared.tape.outputs)
    return Arrangement(prepared, [tape.type(v) for v in tape.outputs[n:]])


def _flatten_seed(target, seed, prepared, flat):
    places = slots(target)
    for slot, part in zip(places, _parts(target, seed), strict=True):
        t = prepared.tape.type(prepared.tape.outputs[slot.index])
        if isinstance(part, Traced):
            flat.append(part)
            continue
        if np.iscomplexobj(part) and not t.is_complex:
            raise TypeError("the seed is complex, the output is not")
        part = np.asarray(part, t.dtype)
        if part.shape != t.shape:
            raise ValueError(f"the seed has shape {part.shape}, the output {t.shape}")
        flat.append(part)


def _parts(target, seed):
    if isinstance(target, dict):
        return [p for k in target for p in _parts(target[k], seed[k])]
    if isinstance(target, (list, tuple)):
        return [p for t, s in zip(target, seed, strict=True) for p in _parts(t, s)]
    return [seed]


class Linearize(_Product):
    """Callable that gives value and the linear map of tangents; made by `linearize`."""

    kind = "linearize"

    def __call__(self, *args, **kwargs):
        """``(value, tangent_map)``."""
        return self._run(args, kwargs, self._work)

    def _ready(self, prepared):
        self._programs(prepared)

    def _programs(self, prepared):
        def make():
            forward, linear = split(tape_with_late_seeds(prepared), len(prepared.active))
            tapes = {"forward": forward, "tangent map": linear, "primal": prepared.tape}
            return [prepared.program(tape, name) for name, tape in tapes.items()]

        return prepared.once("linearized", make)

    def _work(self, prepared, inputs, arguments):
        forward, linear, primal = self._programs(prepared)
        residuals = forward.run([np.array(x) for x in inputs])
        n = len(prepared.tape.outputs)
        begin_sweep()
        values, aux = prepared.values(primal.run(inputs)[:n])

        def tangent_map(*tangents):
            given = tangents[0] if self._single_wrt else tangents
            seeds = self._seeds(prepared, arguments, given)
            dots, _ = prepared.values(linear.run([*residuals, *seeds])[n:])
            return self._targets(dots)

        value = self._targets(values)
        return ((value, aux) if self.has_aux else value), tangent_map


def tape_with_late_seeds(prepared):
    """The tangent tape with everything that no seed reaches in front of the seeds; without effects, as each seed runs it."""
    from sparsead.transform._split import sift

    return sift(without_effects(prepared.tangent_tape), len(prepared.active))


class Hvp(_Product):
    """Callable that gives products with the Hessian; made by `hvp`."""

    kind = "hvp"

    def __call__(self, *args, **kwargs):
        """H v; the last positional argument is v, in the structure of the differentiated arguments."""
        *args, v = args
        return self._run(tuple(args), kwargs, lambda p, inputs, arguments: self._work(p, inputs, arguments, v))

    def _ready(self, prepared):
        self._sweep(prepared)

    def _sweep(self, prepared):
        return prepared.once("hvp", lambda: self._made(prepared))

    def _work(self, prepared, inputs, arguments, v):
        one, program, arranged = self._sweep(prepared)
        results = execute(program, [*inputs, one, *self._seeds(prepared, arguments, v)])
        products = arranged(results, arguments)
        return products[0] if self._single_wrt else tuple(products)

    def _made(self, prepared):
        """(seed of the value, program, what is made of its results)."""
        _check_scalar(self, prepared)
        t, tape = prepared.tape.type(prepared.tape.outputs[0]), second_order_tape(prepared)
        arrangement = Arrangement(prepared, [tape.type(v) for v in tape.outputs])
        return np.ones(t.shape, t.dtype), prepared.program(tape, "hvp"), arrangement


def second_order_tape(prepared):
    """Tangent of the adjoint: outputs are the products with the Hessian alone."""
    tape = tangent(prepared.adjoint_tape, prepared.active)
    n = len(prepared.tape.outputs)
    tape.outputs = tape.outputs[len(prepared.adjoint_tape.outputs) + n :]
    return simplify(tape)


def jvp(f, wrt=0, of="return", *, has_aux=False, engine="auto", fast=False):
    """Value and directional derivative, as a function of ``(*args, tangent)``.

    Parameters are those of `grad`, but `f` may give arrays, and `of` may be a tuple.

    Returns
    -------
    Jvp
        ``jvp(f)(*args, tangent) -> (value, J @ tangent)``. The tangent has the structure of the differentiated argument; it
        is a tuple if `wrt` is one, and complex only where the argument is.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> value, tangent = sparsead.jvp(np.sin)(np.array([0.0]), np.array([2.0]))
    >>> tangent
    array([2.])

    """
    return Jvp(f, wrt, of, has_aux, engine, fast)


def vjp(f, wrt=0, of="return", *, has_aux=False, engine="auto", fast=False):
    """Value and pullback, as a function.

    Parameters are those of `jvp`.

    Returns
    -------
    Vjp
        ``vjp(f)(*args) -> (value, pullback)``, with ``pullback(seed) -> seed^T J`` in the structure of the arguments. The
        pullback may be called many times, and the arguments may change meanwhile. Of complex numbers it gives those of real and
        imaginary parts, d/dRe + i d/dIm of ``Re(conj(seed) * value)``: ``seed^T conj(J)`` of a holomorphic function.

    Raises
    ------
    TypeError
        The pullback is given a complex seed for a real output.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> value, pullback = sparsead.vjp(lambda x: x * x)(np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    array([ 2., 40.])

    """
    return Vjp(f, wrt, of, has_aux, engine, fast)


def linearize(f, wrt=0, of="return", *, has_aux=False, engine="auto", fast=False):
    """Value and the linear map of tangents, as a function: the primal work is done once for many tangents.

    Parameters are those of `jvp`.

    Returns
    -------
    Linearize
        ``linearize(f)(*args) -> (value, tangent_map)`` with ``tangent_map(tangent) -> J @ tangent``.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> value, tangent_map = sparsead.linearize(np.exp)(np.array([0.0]))
    >>> tangent_map(np.array([3.0]))
    array([3.])

    """
    return Linearize(f, wrt, of, has_aux, engine, fast)


def hvp(f, wrt=0, of="return", *, engine="auto", fast=False):
    """Products with the Hessian of a scalar function, as a function of ``(*args, v)``: forward over reverse.

    `hvp_inplace` and `hvp_and_gradient` write them into arrays.

    Parameters are those of `grad`.

    Returns
    -------
    Hvp
        ``hvp(f)(*args, v) -> H v``; `v` and the product have the structure of the differentiated argument.

    Notes
    -----
    Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6 (1994).

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> sparsead.hvp(lambda x: np.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])

    """
    if isinstance(wrt, np.ndarray):
        raise TypeError("hvp(f) gives a function, which takes the arguments and the vector: write hvp(f)(x, v)")
    return Hvp(f, wrt, of, False, engine, fast)
