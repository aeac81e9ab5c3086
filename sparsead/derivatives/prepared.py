"""What all derivatives share: naming of inputs and outputs, recordings of each path, and the call that picks one."""

from __future__ import annotations

import copy
import logging
import threading
import time
from weakref import WeakKeyDictionary

import numpy as np

from sparsead import config
from sparsead.decisions import LOG
from sparsead.derivatives.inputs import WrtLeaf, at_place, is_under, places_of, wrt_leaves
from sparsead.derivatives.nested import call_nested, execute, is_nested
from sparsead.derivatives.outputs import collect, filled
from sparsead.engine import check_engine, program, source
from sparsead.engine.report import report as program_report
from sparsead.ops.effect import begin_sweep, is_counting, once
from sparsead.tape.spec import left_path
from sparsead.tracing._binding import Binder
from sparsead.tracing._traced import Traced
from sparsead.tracing.mismatch import mismatch
from sparsead.tracing.record import bind, name_of, record, signature
from sparsead.tracing.substitution import path_text
from sparsead.transform._adjoint import adjoint
from sparsead.transform._numbers import differing, numbers_of, with_numbers
from sparsead.transform._simplify import prune, simplify
from sparsead.transform._tangent import tangent
from sparsead.transform.loops.rewrite import has_effects

_shared: dict = {}
_shared_lock = threading.Lock()


class Prepared:
    """One recording and what was made of it; made once, then only read.

    Attributes
    ----------
    recording : Recording
    numbers : list
        What the tape's last inputs take: constants in which recordings of this path have differed.
    tape : Tape
        The simplified primal tape; outputs: targets, then auxiliary values.
    shows : bool
        Whether the tape has effects.
    wrt : list of list of WrtLeaf
        For each differentiated argument its leaves.
    engine, fast : str, bool
        What runs the tapes, and whether it may contract and reorder.
    name : str
        What is computed, for messages.
    programs : dict
        What has been made of it to run, by name.
    """

    def __init__(self, recording, places, free=(), engine="auto", fast=False, name="a derivative"):
        self.engine, self.fast, self.name, self.programs = engine, fast, name, {}
        self._bind(recording, places, free)
        self.tape = simplify(with_numbers(recording.tape, free) if free else recording.tape)
        self.shows = has_effects(self.tape)
        self.lock = threading.RLock()
        self.cache = {}

    def _bind(self, recording, places, free):
        self.recording, self.places, self.free = recording, places, free
        self.numbers = [np.asarray(number) for number in numbers_of(recording.tape, free)]
        self.outputs = recording.outputs
        self.wrt = wrt_leaves(recording, places)
        self.active = sorted({leaf.input for leaf in self.leaves})
        self.leaves_of_inputs = [[leaf for leaf in self.leaves if leaf.input == position] for position in self.active]

    def inputs(self, arguments):
        """Inputs of the tape for this call, or None if it is of another kind than the recorded one."""
        found = self.recording.match(arguments)
        return found + self.numbers if found is not None and self.numbers else found

    def own_inputs(self):
        """Inputs of the tape for the call that was recorded."""
        return self.recording.own_inputs() + self.numbers

    def succeeded_by(self, recording):
        """For a recording that differs from this one in numbers only, its `Prepared`; else None.

        Numbers that differ for the first time become inputs of a new tape; after that all is shared: pattern, colouring, sweeps.
        """
        if not self.recording.same_inputs(recording):
            return None
        changed = differing(self.recording.tape, recording.tape)
        if changed is None:
            return None
        if not set(changed) <= set(self.free):
            return Prepared(recording, self.places, sorted({*changed, *self.free}), self.engine, self.fast, self.name)
        successor = copy.copy(self)
        successor._bind(recording, self.places, self.free)
        return successor

    @property
    def leaves(self):
        """All differentiated leaves, argument by argument; in `leaves_of_inputs` by active input."""
        return [leaf for leaves in self.wrt for leaf in leaves]

    def once(self, key, make):
        """``make()``, remembered under `key`."""
        if key not in self.cache:
            with self.lock:
                if key not in self.cache:
                    self.cache[key] = make()
        return self.cache[key]

    def program(self, tape, name):
        """`tape` made ready to run by the engine that was asked for."""
        self.programs[name] = program(tape, self.engine, self.name, self.fast)
        return self.programs[name]

    @property
    def tangent_tape(self):
        """Primal and tangents."""
        return self.once("tangent tape", lambda: simplify(tangent(self.tape, self.active)))

    @property
    def adjoint_tape(self):
        """Primal and adjoints of all targets."""
        return self.once("adjoint tape", lambda: simplify(adjoint(self.tape, self.active, range(self.outputs.n_targets))[0]))

    def values(self, results):
        """(targets, aux) from the results of the primal outputs."""
        aux = self.outputs.aux
        return [filled(t, results) for t in self.outputs.targets], None if aux is None else filled(aux, results)


class Derivative:
    """A function together with what is differentiated in it by what.

    Parameters
    ----------
    function : callable
    wrt : int, str, or tuple of these
    of : "return", int, str, or tuple of these
    has_aux : bool
    engine : str
    fast : bool
    """

    kind = "derivative"
    of_complex = True  # whether arguments and outputs may be complex

    def __init__(self, function, wrt=0, of="return", has_aux=False, engine="auto", fast=False, **options):
        from sparsead.engine import vm  # noqa: F401  (before any trace: it takes from NumPy by name what traces replace there)

        if not callable(function):
            raise TypeError(f"sparsead.{self.kind} takes a function, got {type(function).__name__}")
        check_engine(engine, fast)
        self.function, self.has_aux, self.engine, self.fast = function, bool(has_aux), engine, bool(fast)
        self.options = options
        self.wrt_given, self.of_given = wrt, of
        self._single_wrt, self._single_of = not isinstance(wrt, tuple), not isinstance(of, tuple)
        name, parameters = name_of(function), list(signature(function).parameters.values())
        self.wrt, self.of = places_of(wrt, "wrt", name, parameters), places_of(of, "of", name, parameters)
        self.__signature__ = self._signature()
        self._binder = Binder(function)
        role = (type(self), self.wrt, self.of, self.has_aux, engine, self.fast, tuple(sorted(options.items())))
        self._state = state_of(function, role)

    def _signature(self):
        """What ``inspect.signature`` tells of the derivative: it is called like the function."""
        return signature(self.function)

    # ---- recordings ------------------------------------------------------------------------------------------------

    def prepare(self, *args, **kwargs):
        """Trace and prepare for these arguments now, instead of at the first call; returns the derivative itself.

        With ``engine="native"`` kernels are compiled now.
        """
        self._ready(self._find(bind(self.function, args, kwargs)))
        return self

    def _ready(self, prepared):
        """Make all that a call needs; derivatives override it."""

    def _record(self, bound, function=None):
        given = [at_place(place, "wrt", bound.arguments) for place in self.wrt]
        if LOG.isEnabledFor(logging.INFO):
            self._log_trace(dict(bound.arguments))
        begin = time.perf_counter()
        recording = record(
            function or self.function, bound, lambda path: any(is_under(path, place) for place in self.wrt),
            collect(name_of(self.function), self.of, self.has_aux),
        )  # fmt: skip
        LOG.info("traced in %.1f ms: %d ops", 1e3 * (time.perf_counter() - begin), len(recording.tape))
        name = f"sparsead.{self.kind} of {name_of(self.function)}"
        prepared = Prepared(recording, self.wrt, engine=self.engine, fast=self.fast, name=name)
        for place, value, leaves in zip(self.wrt, given, prepared.wrt, strict=True):
            if not leaves:
                raise TypeError(
                    f"wrt={path_text(place)}: this argument of {name_of(self.function)} holds no floating numbers "
                    f"({_described(value)}); pass floats or floating arrays"
                )
        if not self.of_complex:
            self._refuse_complex(prepared)
        return prepared

    def _refuse_complex(self, prepared):
        types = [leaf.dtype for leaf in prepared.leaves]
        types += [prepared.tape.type(v).dtype for v in prepared.tape.outputs[: prepared.outputs.n_targets]]
        if any(dtype.kind == "c" for dtype in types):
            raise NotImplementedError(
                f"sparsead.{self.kind}: {name_of(self.function)} takes or gives complex numbers: differentiate the real and "
                "imaginary parts by real and imaginary parts, or use sparsead.jvp and sparsead.vjp"
            )

    def _log_trace(self, arguments):
        """Say why a trace is needed."""
        LOG.info("%s of %s: trace %d", self.kind, name_of(self.function), self._state.traces + 1)
        for k, prepared in enumerate(list(self._state.known)):
            LOG.info("recording %d does not fit: %s", k, mismatch(prepared.recording, arguments) or "its guards do not hold")

    def _log_failure(self, error):
        """Say why a recording is left."""
        LOG.info("%s of %s: %s", self.kind, name_of(self.function), error)

    def _find(self, bound):
        arguments = dict(bound.arguments)
        for prepared in list(self._state.known):
            if prepared.inputs(arguments) is not None:
                return prepared
        prepared, outdated = self._settled(self._record(bound))
        return self._add(prepared, outdated)

    def _settled(self, prepared):
        """(prepared, outdated): what the known recordings make of a new one, and the one that it replaces or None."""
        for known in list(self._state.known):
            successor = known.succeeded_by(prepared.recording)
            if successor is not None:
                LOG.info("only numbers differ from a known recording: %d are inputs of its tape now", len(successor.numbers))
                return successor, known
        return prepared, None

    def _add(self, prepared, outdated):
        with self._state.lock:
            self._state.traces += 1
            known = [prepared, *(p for p in self._state.known if p is not outdated)]
            self._state.known[:] = kept = known[: config.max_recordings]
            for given_up in known[config.max_recordings :]:
                self._state.dropped = True
                if "compressed" in given_up.cache and all(p.cache is not given_up.cache for p in kept):
                    self._state.made.pop(given_up.cache["compressed"], None)
        return prepared

    def _run(self, args, kwargs, work):
        """``work(prepared, inputs, arguments)`` on the recording that fits the call, tracing anew if none does."""
        arguments = self._binder.bind(args, kwargs)
        if arguments is None or is_nested() or is_counting():
            return self._run_any(args, kwargs, work)
        failed: list[Prepared] = []
        for prepared in list(self._state.known):
            if prepared.shows:
                break
            inputs = prepared.inputs(arguments)
            if inputs is not None:
                try:
                    return work(prepared, inputs, arguments)
                except Exception as error:
                    if not left_path(error):
                        raise
                    self._log_failure(error)
                    failed.append(prepared)
        return self._run_any(args, kwargs, work, failed)

    @once
    def _run_any(self, args, kwargs, work, failed=()):
        """`_run` for all calls: nested ones, with effects, of any kind of function, and those that are traced.

        Recordings that have `failed` for these arguments are not tried again.
        """
        bound = bind(self.function, args, kwargs)
        if is_nested():
            return call_nested(self, bound, work)
        arguments = dict(bound.arguments)
        for prepared in [p for p in list(self._state.known) if p not in failed]:
            inputs = prepared.inputs(arguments)
            if inputs is not None:
                try:
                    return self._swept(prepared, inputs, arguments, work)
                except Exception as error:
                    if not left_path(error):
                        raise
                    self._log_failure(error)
        prepared, outdated = self._settled(self._record(bound))
        result = self._swept(prepared, prepared.own_inputs(), arguments, work)
        self._add(prepared, outdated)
        return result

    def _swept(self, prepared, inputs, arguments, work):
        begin_sweep()
        result = work(prepared, inputs, arguments)
        if prepared.shows:
            prepared.recording.forget_logs(arguments)
        return result

    def release(self):
        """Give back the memory that calls are computed in.

        Each program keeps its workspace from call to call, and as many as callers have been at work at the same time. The
        derivative stays prepared: the next call takes the memory anew. Calls that are under way are not disturbed.

        Examples
        --------
        >>> import numpy as np, sparsead
        >>> gradient = sparsead.grad(lambda x: np.sum(np.sin(x)))
        >>> gradient(np.zeros(2))
        array([1., 1.])
        >>> gradient.release()
        """
        for prepared in list(self._state.known):
            for made in list(prepared.programs.values()):
                made.release()

    # ---- looking inside --------------------------------------------------------------------------------------------

    @property
    def prepared(self):
        """The most recent `Prepared`; RuntimeError before the first call."""
        if not self._state.known:
            raise RuntimeError(f"this {self.kind} is not prepared yet: call it, or call .prepare(*args)")
        return self._state.known[0]

    @property
    def tape(self):
        """The primal tape of the most recent recording; ``print`` it."""
        return self.prepared.tape

    def report(self, kernels=False):
        """What was traced, what is frozen, what runs, and what it took, as text.

        Parameters
        ----------
        kernels : bool
            For each program a table of its kernels and other steps, and of the memory that it keeps; else the steps that take
            longest.

        Returns
        -------
        str

        Notes
        -----
        Times are those of real calls: each program takes them in its runs 1, 2, 4, 8, .. and shows the last ones. A step's time
        is that between its begin and its end, whatever the number of threads; a loop's includes its steps, which were run `runs`
        times. `moved` is what the windows of a kernel cover, read and written, each byte once: where it moves as many GB/s as
        the memory of the machine can, it waits for the memory. The long form says of each kernel why threads may not share it
        freely, why it is not in the kernel before it, and why it is not compiled, if others are; and of each piece of memory
        which op it is kept for. Of compiled kernels both forms say how many functions they share (kernels that differ in sizes
        and numbers only are one), and how long the compiler took; if it failed, what it said.

        Examples
        --------
        >>> import numpy as np, sparsead
        >>> def loss(x):
        ...     x[1:] *= x[:-1]
        ...     return np.sum(np.sin(x))
        >>> gradient = sparsead.grad(loss)
        >>> print(gradient.prepare(np.ones(1000)).report().splitlines()[0])
        grad of loss by x
        >>> _ = gradient(np.ones(1000))
        >>> table = gradient.report(kernels=True)
        """
        by = ", ".join(map(path_text, self.wrt))
        lines = [f"{self.kind} of {name_of(self.function)} by {by}", f"traces: {self._state.traces}"]
        for k, prepared in enumerate(self._state.known):
            recording = prepared.recording
            live = len(recording.floats) + len(prepared.numbers)
            lines.append(f"recording {k}: {len(prepared.tape)} ops, {len(recording.blocks)} arrays, "
                         f"{live} live numbers, {len(recording.checks)} checks")  # fmt: skip
            lines += [f"  frozen: array of shape {array.shape}" for array, _ in recording.snapshots]
            lines += self._report_on(prepared)
            for name, made in list(prepared.programs.items()):
                lines += program_report(name, made, kernels)
        return "\n".join(lines)

    def _report_on(self, prepared):
        return []

    def source(self):
        """The C of all that has been prepared, as text: for each program what the compiler is given.

        Comments name the lines of the function that kernels come from. What cannot be compiled is not there; ``.report()`` says
        why. Nothing is built for this, and no compiler is needed.

        Returns
        -------
        str

        Examples
        --------
        >>> import numpy as np, sparsead
        >>> gradient = sparsead.grad(lambda x: np.sum(x * x))
        >>> text = gradient.prepare(np.ones(1000)).source()
        >>> "void kernel_0(" in text
        True
        """
        texts = []
        for k, prepared in enumerate(list(self._state.known)):
            for name, made in list(prepared.programs.items()):
                texts.append(f"/* {self.kind} of {name_of(self.function)}, recording {k}: {name} */\n{source(made)}")
        return "\n".join(texts)

    def __repr__(self):
        return f"sparsead.{self.kind}({name_of(self.function)}, wrt={self.wrt_given!r}, of={self.of_given!r})"

    # ---- copies ----------------------------------------------------------------------------------------------------

    def __reduce__(self):
        given = (self.function, self.wrt_given, self.of_given, self.has_aux, self.engine, self.fast)
        return _again, (type(self), *given, self.options)

    def __copy__(self):
        return _again(*self.__reduce__()[1])

    def __deepcopy__(self, memo):
        return self.__copy__()


def _again(cls, function, wrt, of, has_aux, engine, fast, options):
    return cls(function, wrt=wrt, of=of, has_aux=has_aux, engine=engine, fast=fast, **options)


def _described(value):
    if isinstance(value, np.ndarray):
        return f"an array of dtype {value.dtype}"
    return f"{value!r:.40} of type {type(value).__name__}"


class _State:
    """Recordings of one function in one role; shared by lambdas that are made anew at each call.

    `made` has what Jacobians have made of recordings, with these; also of those that another thread is still tracing. `versions`
    has the latest number of a structure of each shape, and `dropped` whether recordings have been given up.
    """

    def __init__(self, keep):
        self.known, self.lock, self.traces, self.keep = [], threading.RLock(), 0, keep
        self.made, self.versions, self.dropped = WeakKeyDictionary(), {}, False


def state_of(function, role):
    code = getattr(function, "__code__", None)
    if code is None:
        return _State(None)
    cells = tuple(_identity(c) for c in function.__closure__ or ())
    defaults = tuple(map(id, function.__defaults__ or ()))
    key = (code, id(function.__globals__), id(getattr(function, "__self__", None)), cells, defaults, role)
    with _shared_lock:
        if key not in _shared:
            while len(_shared) >= 256:
                _shared.pop(next(iter(_shared)))
            # What the key identifies by id must live as long as the key does.
            _shared[key] = _State((function, function.__closure__, [_contents(c) for c in function.__closure__ or ()]))
        return _shared[key]


def _contents(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _identity(cell):
    contents = _contents(cell)
    by_value = isinstance(contents, (int, float, str)) and not isinstance(contents, Traced)
    return (type(contents), contents) if by_value else id(contents)


def run_program(prepared, key, make, inputs):
    """Run the tape that ``make()`` gives, made once per recording."""
    return execute(prepared.once(key, lambda: prepared.program(make(), key)), inputs)


__all__ = ["Derivative", "Prepared", "WrtLeaf", "prune", "run_program"]
