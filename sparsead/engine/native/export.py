"""A function in C99 that stands alone, with its header: programs, and what a caller gives them and gets.

Law: the function allocates nothing, keeps nothing between calls, and writes to its outputs and its workspace only, to the outputs
only if all guards hold and all indices are in bounds.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sparsead.engine.native.data import declared
from sparsead.engine.native.driver import Driver
from sparsead.engine.native.kernels import TYPES, indented
from sparsead.engine.native.module import prelude
from sparsead.tape.listing import source_text

WORDS = set("""
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while _Bool _Complex
    _Imaginary _Alignas _Alignof _Atomic _Generic _Noreturn _Static_assert _Thread_local asm typeof alignas alignof bool
    catch class constexpr decltype delete explicit export false friend main mutable namespace new noexcept nullptr operator
    private protected public template this throw true try typeid typename using virtual wchar_t and or not xor
""".split())  # fmt: skip
WHOLE = {f"{k}{n}": f"{'u' if k == 'u' else ''}int{8 * n}_t" for k in "iu" for n in (1, 2, 4, 8)}
FIXED = {"b1": "uint8_t", "f8": "double", "f4": "float", **WHOLE}
ALIGNED = 64
FLAGS = "-std=c99 -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-strict-aliasing"
LIBRARY = set("""
    abort abs acos acosh asin asinh atan atan2 atanh atof atoi calloc cbrt ceil copysign cos cosh div erf erfc exit exp exp2
    expm1 fabs fdim floor fma fmax fmin fmod free frexp gamma hypot ilogb index j0 j1 jn ldexp lgamma log log10 log1p log2
    logb malloc memchr memcmp memcpy memmove memset modf nan nearbyint nextafter pow power printf rand realloc remainder
    rint round scalb scalbn signgam significand sin sincos sinh size_t sqrt strcat strchr strcmp strcpy strlen system tan
    tanh tgamma time trunc y0 y1 yn
""".split())  # fmt: skip


@dataclass(eq=False)
class Parameter:
    """What a caller gives, or gets.

    Attributes
    ----------
    name : str
    dtype : dtype
    shape, strides : tuple of int
        Strides in bytes.
    text : str
        What it is.
    scalar : bool
        It is given by value.
    output : bool
    value : ndarray or None
        That of the call that was recorded, for examples.
    kept : bool
        It is a parameter even if nothing reads it.
    """

    name: str
    dtype: Any
    shape: tuple
    strides: tuple
    text: str
    scalar: bool = False
    output: bool = False
    value: Any = None
    kept: bool = True

    @property
    def nbytes(self):
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))

    @property
    def ctype(self):
        return FIXED[self.dtype.str[1:]]

    def declared(self):
        if self.scalar:
            return f"{self.ctype} {self.name}"
        return f"{'' if self.output else 'const '}{self.ctype} *{self.name}"

    def described(self):
        """Its name, shape, dtype, layout, and what it is."""
        if self.scalar:
            return f"{self.name}: {self.text}, {self.dtype}"
        shape = " x ".join(map(str, self.shape)) if self.shape else "one number"
        return f"{self.name}: {self.text}, {self.dtype}, {shape}{self._layout()}"

    def _layout(self):
        if len(self.shape) < 2:
            return ""
        c, f = (_steps(self.shape, self.dtype.itemsize, order) for order in "CF")
        order = "C order" if self.strides == c else "Fortran order" if self.strides == f else "strides in bytes"
        return f", {order} {self.strides}"


def _steps(shape, item, order):
    steps, step = [], item
    for n in reversed(shape) if order == "C" else shape:
        steps.append(step)
        step *= n
    return tuple(reversed(steps) if order == "C" else steps)


@dataclass(eq=False)
class Stage:
    """One tape: its inputs are parameters or known arrays; its outputs parameters, or None where nobody wants them."""

    tape: Any
    inputs: list
    outputs: list


@dataclass(eq=False)
class Entry:
    """A function to be exported.

    Attributes
    ----------
    name, title : str
    stages : list of Stage
    parameters : list of Parameter
        In the order of the function's.
    notes : list of str
        What a caller has to know besides.
    pattern : (indptr, indices, shape, format) or None
    gather : ndarray or None
        Where in the outputs of all stages, one behind the other, the `values` are; then these outputs are the workspace's.
    values : Parameter or None
    """

    name: str
    title: str
    stages: list
    parameters: list
    notes: list = field(default_factory=list)
    pattern: tuple | None = None
    gather: Any = None
    values: Parameter | None = None


def check_name(name, what):
    """Raise unless `name` is an identifier of C, C++ and Fortran."""
    if not isinstance(name, str):
        raise TypeError(f"export_c: {what}={name!r} has to be a string, not {type(name).__name__}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,47}", name):
        rule = "letters, digits and _, up to 48, a letter first"
        raise ValueError(f"export_c: {what}={name!r} is no identifier of C and Fortran: {rule}")
    if name in WORDS:
        raise ValueError(f"export_c: {what}={name!r} is a word of the C or C++ language")


class Export:
    """The texts for an `Entry`.

    Attributes
    ----------
    source, header : str
    """

    def __init__(self, entry):
        odd = next((p for p in entry.parameters if p.dtype.str[1:] not in FIXED or not p.dtype.isnative), None)
        if odd is not None:
            raise NotImplementedError(f"{odd.text} is of type {odd.dtype}")
        self.entry, self.driver = entry, Driver()
        self.planned = [self.driver.program(stage.tape) for stage in entry.stages]
        self._drop_unread()
        self._lay_out()
        self.source, self.header = self._source(), self._header()

    def _check_not_used(self, text):
        """Raise if the source has another use for the name of the function."""
        name = self.entry.name
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        if name in LIBRARY or (len(name) > 2 and re.search(rf"\b{name}\b", text)):  # shorter ones are local
            why = "is a name that the source itself uses, or the C library"
            raise ValueError(f"export_c: name={name!r} {why}; choose a longer one")

    # ---- the workspace -----------------------------------------------------------------------------------------------------

    def _drop_unread(self):
        """Arrays that nothing reads are no parameters, if they are not to be kept."""
        read = set()
        for stage, planned in zip(self.entry.stages, self.planned, strict=True):
            read.update(id(x) for k, x in enumerate(stage.inputs) if k in planned.used)
        gone = [p for p in self.entry.parameters if not p.kept and id(p) not in read]
        self.entry.parameters = [p for p in self.entry.parameters if p not in gone]
        if gone:
            self.entry.notes.append(f"not read, and no parameters: {', '.join(p.text for p in gone)}")

    def _lay_out(self):
        """Where in the workspace everything is: pointers to slots, sums, slots, outputs that wait."""
        slots = max((len(planned.schedule.slots) for planned in self.planned), default=0)
        self.sums_at = _aligned(8 * slots)
        self.work_at = self.sums_at + _aligned(self.driver.sums)
        end = self.work_at + max((_aligned(planned.schedule.nbytes) for planned in self.planned), default=0)
        staged = self.entry.gather is not None or len(self.planned) > 1 or any(planned.staged for planned in self.planned)
        self.waiting = []  # for each stage, for each output: its offset in the workspace, or None
        self.first_waiting = end
        for planned, stage in zip(self.planned, self.entry.stages, strict=True):
            offsets = []
            for t, parameter in zip(planned.schedule.outputs, stage.outputs, strict=True):
                wait = staged or parameter is None
                offsets.append(end if wait else None)
                end += (t.nbytes if self.entry.gather is not None else _aligned(t.nbytes)) if wait else 0
            self.waiting.append(offsets)
        self.size = _aligned(end) + ALIGNED - 1

    # ---- the source ----------------------------------------------------------------------------------------------------------

    def _source(self):
        name = self.entry.name
        bodies = [self._stage(k) for k in range(len(self.planned))]
        ours, text = self.driver.text()
        parts = [
            f"/* {self.entry.title}: see {name}.h. Written by sparsead.", " *", f" * Compile with {FLAGS}",
            " * (gcc or clang), and link with -lm. */",
            f'#include "{name}.h"', "", "#include <float.h>", "#include <math.h>", "#include <string.h>", "", PRAGMAS,
        ]  # fmt: skip
        if ours:
            parts += ["/* ---- vector functions " + "-" * 100 + " */", ours, "#undef RUN"]
        parts += [prelude(), (Path(__file__).parent / "export.h").read_text(encoding="utf-8"), text]
        self._check_not_used("\n".join(parts[parts.index(PRAGMAS) :]))
        parts += [*self._pattern(), *bodies, self._function()]
        return "\n".join(parts) + "\n"

    def _pattern(self):
        if self.entry.pattern is None:
            return []
        indptr, indices, shape, _ = self.entry.pattern
        name = self.entry.name
        numbers = {"rows": shape[0], "columns": shape[1], "nnz": len(indices)}
        arrays = {"indptr": indptr, "indices": indices if len(indices) else np.zeros(1, np.int32)}
        return [f"const int32_t {name}_{key} = {n};" for key, n in numbers.items()] + [
            declared(f"const int32_t {name}_{key}[]", [str(x) for x in array.tolist()]) for key, array in arrays.items()
        ] + [""]  # fmt: skip

    def _stage(self, k):
        """The function that gives the slots of stage `k` their memory and runs it."""
        planned, stage = self.planned[k], self.entry.stages[k]
        schedule, lines = planned.schedule, []
        offsets = [slot.offset if slot.kind == "work" else -1 for slot in schedule.slots]
        if any(offset >= 0 for offset in offsets):
            table = declared("static const intptr_t offsets[]", [str(offset) for offset in offsets])
            lines += [*table.splitlines(), f"for (int k = 0; k < {len(offsets)}; k++)", "    if (offsets[k] >= 0)",
                      f"        slots[k] = memory + {self.work_at} + offsets[k];"]  # fmt: skip
        for position, x in enumerate(stage.inputs):
            if position in planned.used:
                lines.append(f"slots[{position}] = (char *){self._address(x, schedule.inputs[position])};")
        for number, slot in enumerate(schedule.slots):
            if slot.kind == "constant" and number in planned.used:
                lines.append(f"slots[{number}] = (char *){self.driver.data.array(slot.array, slot.nbytes)};")
        for place, parameter, offset in zip(schedule.results, stage.outputs, self.waiting[k], strict=True):
            lines.append(f"slots[{place.slot}] = {f'(char *){parameter.name}' if offset is None else f'memory + {offset}'};")
        arguments = [p.declared() for p in self._given(k)]
        head = f"static int stage_{k}({', '.join(['work_t *work', 'char *memory', *arguments])})"
        lines = ["char **const slots = work->slots;", "(void)memory;", *lines, f"return {planned.function}(work);"]
        return "\n".join([head, "{", *indented(lines), "}", ""])

    def _address(self, given, vtype):
        """Where an input is."""
        if not isinstance(given, Parameter):
            return self.driver.data.array(given, vtype.nbytes)
        return f"&{given.name}" if given.scalar else given.name

    def _given(self, k):
        """The parameters of a stage."""
        stage, planned = self.entry.stages[k], self.planned[k]
        inside = [x for position, x in enumerate(stage.inputs) if isinstance(x, Parameter) and position in planned.used]
        inside += [p for p, offset in zip(stage.outputs, self.waiting[k], strict=True) if offset is None]
        return list(dict.fromkeys(inside))

    def _function(self):
        entry, name = self.entry, self.entry.name
        lines = [
            "/* aligned to lines of the cache */",
            f"char *const memory = (char *)(((uintptr_t)workspace + {ALIGNED - 1}) / {ALIGNED} * {ALIGNED});",
            f"work_t work = {{(char **)memory, memory + {self.sums_at}, 0, 0, 0}};", "int status = DONE;",
        ]  # fmt: skip
        lines += [f"(void){p.name};" for p in entry.parameters if not p.output]
        for k in range(len(self.planned)):
            arguments = ", ".join(["&work", "memory", *(p.name for p in self._given(k))])
            lines += [f"if ((status = stage_{k}({arguments})))", "    return work.failed ? work.failed : -1;"]
        for stage, planned, offsets in zip(entry.stages, self.planned, self.waiting, strict=True):
            for p, t, offset in zip(stage.outputs, planned.schedule.outputs, offsets, strict=True):
                if p is not None and offset is not None and t.nbytes:
                    lines.append(f"memcpy({p.name}, memory + {offset}, {t.nbytes});")
        if entry.gather is not None and len(entry.gather):
            t = TYPES[entry.values.dtype.char]
            lines += [*declared("static const int32_t from[]", [str(x) for x in entry.gather.tolist()]).splitlines(),
                      f"for (intptr_t k = 0; k < {len(entry.gather)}; k++)",
                      f"    {entry.values.name}[k] = ((const {t} *)(memory + {self.first_waiting}))[from[k]];"]  # fmt: skip
        size = f"size_t {name}_workspace_size(void)\n{{\n    return {self.size};\n}}\n"
        return "\n".join([size, self._head(), "{", *indented([*lines, "(void)work;", "return status;"]), "}"])

    def _head(self):
        arguments = ", ".join([*(p.declared() for p in self.entry.parameters), "void *workspace"])
        return f"int {self.entry.name}({arguments})"

    # ---- the header ----------------------------------------------------------------------------------------------------------

    def _header(self):
        name = self.entry.name
        upper = f"{name.upper()}_H"
        text = "\n".join(f" * {line}".rstrip().replace("*/", "* /") for line in self._documentation())
        rows = [f"#ifndef {upper}", f"#define {upper}", "", f"/* {self.entry.title}. Written by sparsead.", " *", text, " */", "",
                "#include <stddef.h>", "#include <stdint.h>", "", "#ifdef __cplusplus", 'extern "C" {', "#endif", ""]  # fmt: skip
        if self.entry.pattern is not None:
            indptr, indices, shape, _ = self.entry.pattern
            rows += [f"#define {name.upper()}_ROWS {shape[0]}", f"#define {name.upper()}_COLUMNS {shape[1]}",
                     f"#define {name.upper()}_NNZ {len(indices)}",
                     f"extern const int32_t {name}_rows, {name}_columns, {name}_nnz;",
                     f"extern const int32_t {name}_indptr[{len(indptr)}], {name}_indices[{max(len(indices), 1)}];",
                     ""]  # fmt: skip
        rows += [f"size_t {name}_workspace_size(void);", "", f"{self._head()};", ""]
        return "\n".join([*rows, "#ifdef __cplusplus", "}", "#endif", "", "#endif", ""])

    def _documentation(self):
        entry = self.entry
        yield "Parameters:"
        for p in entry.parameters:
            yield f"  {p.described()}{' (output)' if p.output else ''}"
        yield f"  workspace: {entry.name}_workspace_size() bytes, for one call at a time; any alignment, contents do not matter"
        yield ""
        yield "Arrays are without gaps, and outputs overlap nothing. Nothing is allocated, and nothing is kept between calls:"
        yield "threads may call it at the same time, each with a workspace of its own."
        yield ""
        yield "Returns 0 when all is done; then only the outputs are set. Otherwise they are as they were:"
        yield "  -1: an index is out of bounds"
        for k, (line, value) in enumerate(self.driver.guards, 1):
            at = f"at {source_text(line)}" if line is not None else "of the call"
            yield f"  {k}: not on the path that was recorded, which has {_number(value)} {at}"
        if entry.pattern is not None:
            yield from self._described_pattern()
        for note in entry.notes:
            yield ""
            yield note

    def _described_pattern(self):
        name, (_, _, _, form) = self.entry.name, self.entry.pattern
        lines, others = ("rows", "columns") if form == "csr" else ("columns", "rows")
        yield ""
        yield f"The matrix is compressed by {lines} ({form.upper()}), counted from 0: of {lines[:-1]} k the entries are"
        yield f"{self.entry.values.name}[{name}_indptr[k]] up to {self.entry.values.name}[{name}_indptr[k + 1] - 1],"
        yield f"in the {others} {name}_indices[..]."


PRAGMAS = """#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif
#ifdef __GNUC__ /* what stands above the programs is the same for all of them */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-const-variable"
#endif
"""


def _aligned(n):
    return -(-n // ALIGNED) * ALIGNED


def _number(x):
    return repr(x.item() if isinstance(x, (np.generic, np.ndarray)) else x)


def write(export, directory, examples):
    """Write the files; returns their paths."""
    texts = {f"{export.entry.name}.c": export.source, f"{export.entry.name}.h": export.header, **examples}
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for file, text in texts.items():
        path = folder / file
        unfinished = path.with_name(f".{file}.{os.getpid()}")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
        paths.append(path)
    return paths
