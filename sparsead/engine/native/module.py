"""All kernels of a program as one source in C."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sparsead.engine.native.kernels import source_of
from sparsead.engine.native.loops import units_of
from sparsead.schedule.form import Kernel, Member, inside, lines_of
from sparsead.tape.listing import source_text

PARAMETERS = """(char *const *base, const intptr_t *sizes, char *const *numbers, const call_t *calls, char *sums,
    intptr_t first, intptr_t last)"""
SHOWN = 8  # lines of the user above a function


class Module(NamedTuple):
    """What a compiler is given, and what is made of the functions in it.

    Attributes
    ----------
    text : str
    sources : list of Source or None
        Of each kernel of the program; None if it stays with the tiled engine.
    names : list of str or None
        Of the function of each kernel; those that differ in what they are given only share one. None if it has none, also because
        it is written out in a unit.
    units : list of (str, Unit)
        Steps that have functions of their own, and the names of these.
    """

    text: str
    sources: list
    names: list
    units: list


def module_of(program, lines=False):
    """The `Module` of a program of the tiled engine; with `lines` comments name the user's lines.

    Without, the text of a function does not change when the code above it does, and is found in the cache.
    """
    sources = [source_of(low, program.later) for low in program.lowered]
    kernels = [step for step in program.steps if isinstance(step, (Kernel, Member))]
    shared: dict[str, list] = {}  # body -> kernels
    for step, source in zip(kernels, sources, strict=True):
        if source is not None:
            shared.setdefault(source.body, []).append(step)
    numbers = {body: f"kernel_{k}" for k, body in enumerate(shared)}
    names = [None if source is None else numbers[source.body] for source in sources]
    numbered = {number: (program.lowered[k], sources[k], names[k]) for number, k in program.kernel_of.items()}
    own = {n: slot.nbytes for n, slot in enumerate(program.schedule.slots) if slot.kind == "work"}
    units = units_of(program.schedule.block, {id(s): k for k, s in enumerate(program.steps)}, numbered, own, program.later)
    inlined = {program.kernel_of[number] for unit in units for number in unit.inlined}
    names = [None if k in inlined else name for k, name in enumerate(names)]
    looped: dict[str, list] = {}
    for unit in units:
        looped.setdefault(unit.body, []).append(program.steps[unit.number])
    loops = {body: f"loop_{k}" for k, body in enumerate(looped)}
    functions = [(shared[body], f"void {name}{PARAMETERS}\n{body}\n") for body, name in numbers.items() if name in names]
    functions += [(looped[body], f"int {name}(const frame_t *frame)\n{body}\n") for body, name in loops.items()]
    texts = [comment(_lines(steps)) + text if lines else text for steps, text in functions]
    return Module("\n".join([prelude(), *texts]), sources, names, [(loops[unit.body], unit) for unit in units])


def prelude():
    """What stands above the functions."""
    return "\n".join([(Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("abi.h", "prelude.h")])


def comment(lines):
    """The user's lines that a function comes from."""
    lines = list(dict.fromkeys(lines))
    texts = [source_text(line).replace("*/", "* /").replace("/*", "/ *").rstrip("\\") for line in lines[:SHOWN]]
    texts += [f"and {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []
    return "\n".join(["/*", *(f" * {text}" for text in texts), " */\n"]) if texts else ""


def _lines(steps):
    """The user's lines that steps come from, those of what is inside included."""
    return [line for step in inside(*steps) for line in lines_of(step)]
