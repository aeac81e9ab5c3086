"""What a derivative is as a function in C: the tapes that it runs, its parameters, its results."""

from __future__ import annotations

import re

import numpy as np

from sparsead.derivatives.gradients import ValueAndGrad
from sparsead.derivatives.jacobians import Hessian, Jacobian
from sparsead.derivatives.outputs import slots
from sparsead.derivatives.products import Hvp, Jvp, Vjp, second_order_tape
from sparsead.derivatives.sweeps import flat_lanes, joined
from sparsead.engine.native.export import FIXED, LIBRARY, WORDS, Entry, Parameter, Stage
from sparsead.tape._memory import window
from sparsead.tracing.record import name_of, signature
from sparsead.tracing.substitution import path_text

STATIC = 1 << 16  # bytes of a captured array up to which it is in the source
RESERVED = WORDS | LIBRARY | set(FIXED.values()) | {
    "workspace", "memory", "status", "work", "offsets", "slots", "k", "from", "work_t", "intptr_t", "uintptr_t", "DONE", "NAN",
    "INFINITY",
}  # fmt: skip


def entry_of(derivative, name):
    """The `Entry` of a prepared derivative; None for a kind that has none."""
    maker = next((make for kind, make in MAKERS.items() if isinstance(derivative, kind)), None)
    if maker is None:
        return None
    try:
        prepared = derivative.prepared
    except RuntimeError as error:
        raise RuntimeError(f"export_c: {error}") from None
    return maker(derivative, prepared, name)


class _Maker:
    """Parameters of one function."""

    def __init__(self, derivative, prepared):
        self.derivative, self.prepared, self.tape = derivative, prepared, prepared.tape
        self.taken: set[str] = set()
        self.notes: list[str] = []
        if prepared.recording.imports:
            raise NotImplementedError("it was recorded inside another derivative")
        self.inputs = self._inputs()

    def name(self, wanted):
        """An identifier that is not in use yet."""
        text = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_") or "x"
        text = f"x{text}" if text[0].isdigit() else text
        while text in RESERVED or text in self.taken or re.fullmatch(r"(table|run|stage|step|kernel|loop)_\d+", text):
            text += "_"
        self.taken.add(text)
        return text

    # ---- inputs ----------------------------------------------------------------------------------------------------------

    def _inputs(self):
        """For each input of the primal tape its `Parameter`, or the array that it always is."""
        recording, found = self.prepared.recording, []
        values = self.prepared.own_inputs()
        for block, value in zip(recording.blocks, values, strict=False):
            found.append(self._block(block, value))
        n = len(recording.blocks)
        for leaf, value in zip(recording.floats, values[n:], strict=False):
            text = path_text(leaf.path)
            found.append(Parameter(self.name(text), value.dtype, (), (), text, scalar=True, value=value))
        found += [np.asarray(number) for number in values[n + len(recording.floats) :]]
        given = [c for c in recording.checks if c.kind == "static" and c.path[0][0] == "argument"]
        static = [f"{path_text(c.path)} = {c.value!r}" for c in given]
        static += [f"the array {_words(c.path)}" for c in recording.checks if c.kind == "contents"]
        if static:
            self.notes.append(f"Part of the code: {', '.join(static)}")
        return found

    def _block(self, block, value):
        leaves = [self.prepared.recording.arrays[k] for k in block.members]
        text = _words(leaves[0].path)
        captured = all(leaf.path[0][0] != "argument" for leaf in leaves)
        if captured and value.nbytes <= STATIC:
            self.notes.append(f"captured, with its numbers in the source: {text}")
            return value.copy(order="K")
        written = any(leaf.path[: len(place)] == place for leaf in leaves for place in self.derivative.of if place != "return")
        parameter = Parameter(
            self.name(text), value.dtype, value.shape, value.strides, text, value=value, kept=not captured and not written
        )
        if captured:
            parameter.text += ", captured"
        if not block.whole:
            windows = zip(leaves, block.offsets, block.windows, strict=True)
            views = [f"{_words(leaf.path)} from byte {at}, {shape}, strides {strides}" for leaf, at, (shape, strides) in windows]
            parameter.text = f"memory of {'; '.join(views)}"
        return parameter

    def parameters(self):
        """Those of the inputs, in the order of the arguments; captured ones last."""
        order = {name: k for k, name in enumerate(signature(self.derivative.function).parameters)}
        leaves = [self.prepared.recording.arrays[b.members[0]] for b in self.prepared.recording.blocks]
        leaves += self.prepared.recording.floats

        def place(k):
            kind, where = leaves[k].path[0]
            return (order.get(where, len(order)) if kind == "argument" else len(order) + 1), k

        numbers = sorted((k for k, x in enumerate(self.inputs) if isinstance(x, Parameter)), key=place)
        return [self.inputs[k] for k in numbers]

    def like_inputs(self, suffix, text, output):
        """A parameter for each active input, in its layout."""
        made = []
        for position in self.prepared.active:
            x, t = self.inputs[position], self.tape.type(self.tape.inputs[position])
            if isinstance(x, Parameter):
                base, what = x.name, x.text
            else:
                base = what = "captured"
            value = np.ones(t.shape, t.dtype)
            name = self.name(f"{base}_{suffix}")
            made.append(Parameter(name, t.dtype, t.shape, t.strides, f"{text} {what}", output=output, value=value))
        return made

    # ---- outputs ---------------------------------------------------------------------------------------------------------

    def values(self, suffix="", text="", tape=None):
        """A parameter for each output of the primal tape."""
        names = self._output_names()
        made = []
        for (name, what), v in zip(names, self.tape.outputs, strict=True):
            t = self.tape.type(v)
            made.append(Parameter(self.name(name + suffix), t.dtype, t.shape, t.strides, f"{text}{what}", output=True))
        return made

    def _output_names(self):
        outputs, names = self.prepared.outputs, {}
        for item, target in zip(self.derivative.of, outputs.targets, strict=True):
            found = slots(target)
            for k, slot in enumerate(found):
                what = "value" if item == "return" else f"{path_text(item)}_out"
                number = f"_{k}" if len(found) > 1 else ""
                text = "the value returned" if item == "return" else f"{path_text(item)}, as it is left"
                names[slot.index] = f"{what}{number}", text
        for k, slot in enumerate(slots(outputs.aux)):
            names[slot.index] = f"aux_{k}", "auxiliary value"
        return [names[k] for k in range(len(self.tape.outputs))]

    def seeds(self):
        """A parameter for each target: its adjoint."""
        return [
            Parameter(self.name(f"{name.removesuffix('_out')}_bar"), t.dtype, t.shape, t.strides, f"adjoint of {what}",
                      value=np.ones(t.shape, t.dtype))
            for (name, what), t in zip(self._output_names(), self._target_types(), strict=False)
        ]  # fmt: skip

    def _target_types(self):
        return [self.tape.type(v) for v in self.tape.outputs[: self.prepared.outputs.n_targets]]

    def ones(self):
        """The seeds of a scalar function."""
        return [np.ones(t.shape, t.dtype) for t in self._target_types()]

    def entry(self, name, tape, extra, outputs, **more):
        """An `Entry` of one tape, whose inputs are those of the primal tape and `extra`."""
        given = [x for x in extra if isinstance(x, Parameter)]
        wanted = [x for x in outputs if x is not None]
        stage = Stage(tape, [*self.inputs, *extra], outputs)
        return Entry(name, self.title(), [stage], [*self.parameters(), *given, *wanted], self.notes, **more)

    def title(self):
        by = ", ".join(map(path_text, self.derivative.wrt))
        return f"{self.derivative.kind} of {name_of(self.derivative.function)} by {by}"


def _words(path):
    """A path as a name: a captured array has that of its variable."""
    (kind, where), *steps = path
    if kind == "function" and steps and steps[0] == ("attribute", "__closure__"):
        free = where.__code__.co_freevars[steps[1][1]]
        return path_text((("argument", free), *steps[3:]))
    return path_text(path).replace(" (captured)", "")


# ---- one for each kind -------------------------------------------------------------------------------------------------------


def _gradient(derivative, prepared, name):
    maker = _Maker(derivative, prepared)
    sweep = derivative._sweep(prepared)
    values = maker.values()[: sweep.n_values] if sweep.n_values else []
    tape = derivative._tape(prepared)
    return maker.entry(name, tape, maker.ones(), [*values, *maker.like_inputs("bar", "derivative by", True)])


def _tangent(derivative, prepared, name):
    maker = _Maker(derivative, prepared)
    dots = maker.like_inputs("dot", "tangent of", False)
    values, tangents = maker.values(), maker.values("_dot", "tangent of ")
    n = prepared.outputs.n_targets
    return maker.entry(name, prepared.tangent_tape, dots, [*values, *tangents[:n], *[None] * (len(tangents) - n)])


def _pullback(derivative, prepared, name):
    maker = _Maker(derivative, prepared)
    seeds, values = maker.seeds(), maker.values()
    return maker.entry(name, prepared.adjoint_tape, seeds, [*values, *maker.like_inputs("bar", "adjoint of", True)])


def _product(derivative, prepared, name):
    maker = _Maker(derivative, prepared)
    derivative._sweep(prepared)
    dots = maker.like_inputs("dot", "factor for", False)
    products = maker.like_inputs("product", "product by", True)
    return maker.entry(name, second_order_tape(prepared), [*maker.ones(), *dots], products)


def _matrix(derivative, prepared, name):
    maker = _Maker(derivative, prepared)
    compressed = derivative._compressed(prepared)
    if compressed.format == "dense":
        raise NotImplementedError("format='dense'; take 'csr' or 'csc', whose pattern the source has")
    if derivative.has_aux:
        raise NotImplementedError("has_aux=True; leave the auxiliary value out")
    if len(compressed.kept):
        raise NotImplementedError(f"{derivative.kind} gives more than the matrix; take jacobian or hessian")
    entries, layout = compressed.entries, compressed.layout
    direct = compressed.method == "direct"
    if not direct and not entries.sweeps.is_plain:
        raise NotImplementedError("entries that are not just read from sweeps (substitution, or a structure with more entries "
                                  "than this path has); take method='direct' or 'column'")  # fmt: skip
    nnz, form = layout.nnz, layout.format
    pattern = layout.out_indptr, layout.out_indices, layout.shape, form
    stages, gather = [], None
    dtype = np.dtype(float)
    if nnz and direct:
        tape = entries.direct_tape
        dtype = tape.type(tape.outputs[0]).dtype
    elif nnz:
        tapes = [entries.sweeps.tape_of(chunk) for chunk in entries.sweeps.chunks]
        dtype, gather = _gathered(entries.sweeps, tapes)
    text = f"entries of the {derivative.kind}, in the order of {form.upper()}"
    values = Parameter(maker.name("values"), dtype, (nnz,), (dtype.itemsize,), text, output=True)
    if nnz and direct:
        stages = [Stage(tape, maker.inputs, [values])]
    elif nnz:
        stages = [Stage(tape, maker.inputs, [None] * len(tape.outputs)) for tape in tapes]
    return Entry(name, maker.title(), stages, [*maker.parameters(), values], maker.notes, pattern, gather, values)


def _gathered(sweeps, tapes):
    """(dtype, where each entry is among the outputs of all sweeps): what is done to the outputs is done to their positions."""
    begin, dtypes, found = 0, set(), np.empty(sweeps.layout.nnz, np.int64)
    for tape, chunk, (gather, into) in zip(tapes, sweeps.chunks, sweeps.reads, strict=True):
        flat = []
        for v, lane in zip(tape.outputs, sweeps.results(chunk.side), strict=True):
            t = tape.type(v)
            dtypes.add(t.dtype)
            numbers = np.arange(begin, begin + t.size)
            memory = window(numbers, 0, t.shape, tuple(s * 8 // t.dtype.itemsize for s in t.strides), numbers.dtype)
            flat.append(flat_lanes(memory, chunk.lanes, lane.ndim))
            begin += t.size
        found[slice(None) if into is None else into] = joined(flat, 1).reshape(-1)[gather]
    if len(dtypes) > 1:
        raise NotImplementedError(f"outputs of types {', '.join(sorted(map(str, dtypes)))} in one matrix")
    return dtypes.pop(), found


MAKERS = {Hessian: _matrix, Jacobian: _matrix, ValueAndGrad: _gradient, Jvp: _tangent, Vjp: _pullback, Hvp: _product}
