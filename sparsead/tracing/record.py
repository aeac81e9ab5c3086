"""Run a function once and record it: the driver of tracing."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsead import config
from sparsead.ops.composites import COMPOSITES, METHODS
from sparsead.tape._tape import Tape, checked
from sparsead.tracing import primitives
from sparsead.tracing._matching import Matcher
from sparsead.tracing._traced import CURRENT, Trace, Traced, TracedArray, TracedScalar, concrete_of
from sparsead.tracing.errors import TraceError
from sparsead.tracing.explain import explained
from sparsead.tracing.memory import Block, groups
from sparsead.tracing.originals import Originals
from sparsead.tracing.substitution import Leaf, Replacement, Walk, leave_numbers, path_text, resolve
from sparsead.tracing.wrappers import installed
from sparsead.transform.loops.rewrite import effects_of

primitives.install()

FLOAT = np.dtype(float)


@dataclass
class Recording:
    """A tape, and how the inputs of a call become the inputs of the tape.

    Attributes
    ----------
    tape : Tape
        Inputs: one for each block of memory, then one for each live float, then values of enclosing traces.
    arrays, floats : list of Leaf
        The arrays (arguments and captured) and live floats that the inputs are made of.
    checks : list of Leaf
        Static values, contents and lengths that have to be as they were.
    blocks : list of Block
    outputs : object
        What `collect` made of the function's results.
    """

    tape: Tape
    arrays: list[Leaf]
    floats: list[Leaf]
    checks: list[Leaf]
    blocks: list[Block]
    outputs: Any
    snapshots: list = field(default_factory=list)
    imports: list = field(default_factory=list)
    grouping: list = field(default_factory=list)
    joint: bool = False

    def __post_init__(self):
        self._matcher = Matcher(self)

    def match(self, arguments):
        """Inputs of the tape for this call, or None if the call is of another kind than the recorded one."""
        return self._matcher.inputs(arguments)

    def own_inputs(self):
        """Inputs of the tape for the call that was recorded, whatever the function changed meanwhile."""
        arrays = [leaf.value for leaf in self.arrays]
        return [block.memory(arrays) for block in self.blocks] + [np.asarray(leaf.value) for leaf in self.floats]

    def forget_logs(self, arguments):
        """Containers that effects have grown are their logs: the function may be called again whatever their length is."""
        kept = [leaf for leaf in self.checks if leaf.kind != "length" or _as_long(leaf, arguments)]
        if len(kept) < len(self.checks):
            self.checks = kept
            self._matcher = Matcher(self)

    def same_inputs(self, other):
        """Whether the inputs of both tapes stand for the same arguments and captured arrays."""
        return (
            [leaf.path for leaf in self.arrays] == [leaf.path for leaf in other.arrays]
            and [leaf.path for leaf in self.floats] == [leaf.path for leaf in other.floats]
            and [vars(block) for block in self.blocks] == [vars(block) for block in other.blocks]
            and not self.imports and not other.imports
        )  # fmt: skip


def _as_long(leaf, arguments):
    """Whether a container is as long as it was."""
    return len(resolve(leaf.path[:-1], arguments)) == leaf.value


def bind(function, args, kwargs):
    """Arguments by name, defaults filled in; a ``*args`` or ``**kwargs`` is one tuple or dict."""
    try:
        bound = signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name_of(function)}(): {error}") from None
    bound.apply_defaults()
    return bound


def signature(function):
    """The signature of `function`; functions without one take ``*args``."""
    if isinstance(function, np.ufunc):
        kind = inspect.Parameter.POSITIONAL_ONLY
        return inspect.Signature([inspect.Parameter(f"x{k}", kind) for k in range(1, function.nin + 1)])
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return inspect.signature(lambda *args: None)


def name_of(function):
    """A name for messages."""
    return getattr(function, "__name__", None) or type(function).__name__


def record(function, arguments, is_active, collect, barrier=None, copies=False, joint=False):
    """Trace one call.

    Parameters
    ----------
    function : callable
    arguments : inspect.BoundArguments
    is_active : callable
        ``is_active(path) -> bool``: whether the float or array at `path` is differentiated.
    collect : callable
        ``collect(returned, arguments) -> object`` whose ``leaves`` are the outputs of the tape, traced values or numbers.
    barrier : callable, optional
        ``barrier(path) -> None, "raise", "detach" or "unread"``: what becomes of a value with a derivative that is stored into
        the array at `path`: it is stored, refused, or stored without its derivative; or the array must not be read.
    copies : bool
        The function gets copies of all lists, dicts and objects among the arguments, also of those that hold no numbers.
    joint : bool
        Arguments and captured arrays that share memory are one input.

    Returns
    -------
    Recording
    """
    names = dict(arguments.arguments)
    walk = Walk()
    for name, value in names.items():
        walk.scan(value, (("argument", name),), True)
    walk.scan(function, (("function", function),), False)
    arrays = [leaf for leaf in walk.leaves if leaf.kind == "array"]
    trace = Trace(COMPOSITES, METHODS, config.max_ops, config.note_after)
    grouping = groups_of(arrays, [leaf.value for leaf in arrays], joint)
    blocks, traced = _storages(trace, arrays, grouping, is_active)
    floats: list[Leaf] = []
    trace.supply = lambda: [block.memory([leaf.value for leaf in arrays]) for block in blocks] + [
        np.asarray(leaf.value) for leaf in floats
    ] + [np.asarray(concrete_of(traced)) for _, traced in trace.imports]  # fmt: skip
    of_arguments = {k: t for (captured, k), t in traced.items() if not captured}
    of_function = {**of_arguments, **{k: t for (captured, k), t in traced.items() if captured}}
    _set_barriers(arrays, traced, barrier)
    pass_in = Replacement(of_arguments, lambda path, number: _live(trace, floats, path, number, is_active), copies)
    pass_in.floats = floats
    replace = Replacement(of_function, None)
    trace.original = Originals(pass_in, replace, getattr(CURRENT.get(), "original", None))
    arguments.arguments.update({name: pass_in(value, (("argument", name),), True) for name, value in names.items()})
    try:
        outputs = _run(trace, replace(function, (("function", function),)), arguments, collect)
    finally:
        leave_numbers(walk.reached, trace)
        trace.original = None  # it leads back to the trace: what it holds would live on until the next garbage collection
    if not joint and any(view.storage.version != view.storage.first for view in traced.values()) and (
        grouping != groups_of(arrays, [leaf.value for leaf in arrays], True)
    ):
        # An argument shares memory with a captured array, and one of them was written: now it matters.
        arguments.arguments.update(names)
        return record(function, arguments, is_active, collect, barrier, copies, True)
    replace.write_back()
    if not copies:  # then what became of the arguments is for `collect` to find
        pass_in.write_back()
    checks = [
        leaf for leaf in walk.leaves
        if leaf.kind in ("static", "contents", "identity")
        or (leaf.kind == "length" and _as_long(leaf, names))  # a list that the function itself extends is its log
    ]  # fmt: skip
    checks += [Leaf(walk.path_of(x), "identity", x) for x in _shown_to(trace.tape) if walk.path_of(x) is not None]
    # What the function itself changed is its own scratch: it is written anew at every call before it is read.
    snapshots = [(array, copy) for array, copy in trace.snapshots if array.tobytes() == copy.tobytes()]
    tape = checked(trace.tape, active=[k for k, v in enumerate(trace.tape.inputs) if trace.fact(v)[0]])
    return Recording(tape, arrays, floats, checks, blocks, outputs, snapshots, trace.imports, grouping, joint)


def _shown_to(tape):
    """The objects that effects work on: the tape is right as long as the call is made with these."""
    return [x for effect in effects_of(tape) for x in effect.parts()]


def groups_of(leaves, arrays, joint):
    """Groups of arrays that share memory; captured arrays apart from arguments unless `joint`.

    A captured array that is only read is a parameter, also where the same array is passed as an argument.
    """
    if joint:
        return groups(arrays) if arrays else []
    found = []
    for captured in (False, True):
        part = [k for k, leaf in enumerate(leaves) if (leaf.path[0][0] != "argument") == captured]
        if part:
            found += [[part[k] for k in group] for group in groups([arrays[k] for k in part])]
    return found


def _storages(trace, leaves, grouping, is_active):
    """An input and a storage for each block of memory; traced arrays by path and by the identity of the user's."""
    arrays = [leaf.value for leaf in leaves]
    traced, blocks = {}, []
    for members in grouping:
        active = any(is_active(leaves[k].path) for k in members)
        block = Block(members, arrays, active)
        base, views = block.private(arrays)
        value = trace.input(block.dtype, block.shape, block.strides, active, path_text(leaves[members[0]].path))
        storage = trace.storage(base, value)
        for k, view in zip(members, views, strict=True):
            if not arrays[k].flags.writeable:
                view = view.view()
                view.flags.writeable = False
            captured = leaves[k].path[0][0] != "argument"
            traced[captured, id(arrays[k])] = trace.array(view, storage)
        blocks.append(block)
    return blocks, traced


def _set_barriers(leaves, traced, barrier):
    for leaf in leaves if barrier is not None else ():
        captured = leaf.path[0][0] != "argument"
        storage = traced[captured, id(leaf.value)].storage
        found = barrier(leaf.path)
        storage.label = path_text(leaf.path)
        if found == "unread":
            storage.write_only = True
        else:
            storage.barrier = found or storage.barrier


def _live(trace, floats, path, number, is_active):
    dtype = np.asarray(number).dtype
    value = trace.input(dtype, (), (), is_active(path), path_text(path))
    floats.append(Leaf(path, "float", number))
    return trace.scalar(number, value)


def _run(trace, function, arguments, collect):
    token = CURRENT.set(trace)
    try:
        with installed():
            returned = function(*arguments.args, **arguments.kwargs)
        outputs = collect(returned, arguments.arguments)
        if trace.broken:
            raise TraceError(trace.broken)
        trace.tape.outputs = [trace.c_order(trace.operand(x)) for x in outputs.leaves]
        for v in trace.tape.outputs:
            trace.check_lost(v)
        return outputs
    except Exception as error:
        ours = explained(trace, error)
        if ours is None:
            raise
        raise ours from error
    finally:
        CURRENT.reset(token)
        trace.ended = True


__all__ = ["FLOAT", "Recording", "TraceError", "Traced", "TracedArray", "TracedScalar", "bind", "record"]
