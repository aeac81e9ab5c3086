"""All kernels of a program as one source in C."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sparsead.engine.native.kernels import source_of
from sparsead.engine.native.loops import units_of

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
        Of the function of each kernel; those that differ in what they are given only share one.
    units : list of (str, Unit)
        Steps that have functions of their own, and the names of these.
    """

    text: str
    sources: list
    names: list
    units: list


def module_of(program):
    """The `Module` of a program of the tiled engine."""
    sources = [source_of(low, program.later) for low in program.lowered]
    shared: dict[str, list] = {}  # body -> kernels
    for low, source in zip(program.lowered, sources, strict=True):
        if source is not None:
            shared.setdefault(source.body, []).append(low.kernel)
    numbers = {body: f"kernel_{k}" for k, body in enumerate(shared)}
    functions = [f"{_lines(kernels)}void {numbers[body]}{PARAMETERS}\n{body}\n" for body, kernels in shared.items()]
    names = [None if source is None else numbers[source.body] for source in sources]
    units = units_of(program, sources, names)
    loops = {body: f"loop_{k}" for k, body in enumerate(dict.fromkeys(unit.body for unit in units))}
    functions += [f"int {name}(const frame_t *frame)\n{body}\n" for body, name in loops.items()]
    return Module("\n".join([prelude(), *functions]), sources, names, [(loops[unit.body], unit) for unit in units])


def prelude():
    """What stands above the functions."""
    return (Path(__file__).parent / "prelude.h").read_text(encoding="utf-8")


def _lines(kernels):
    """A comment with the user's lines that a function comes from."""
    lines = list(dict.fromkeys(str(line).replace("*/", "* /") for kernel in kernels for line in kernel.lines))
    more = [f" * and {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []
    return "\n".join(["/*", *(f" * {line}" for line in lines[:SHOWN]), *more, " */\n"]) if lines else ""
