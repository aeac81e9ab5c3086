"""Programs that call an exported function, in C and in Fortran.

Law: they call it with the arguments of the recording, and print of each output the sum and the first numbers; of an argument
of more than `MOST` numbers the first ones are repeated.
"""

from __future__ import annotations

import numpy as np

from sparsead.engine.native.data import declared, literal, memory_of
from sparsead.engine.native.kernels import indented

MOST, REPEATED, SHOWN, PER_LINE = 4096, 16, 4, 2
OWN = {"status", "workspace", "k_", "sum", "real", "mod", "ieee_value"}  # of the program in Fortran
KINDS = {"f8": "real(c_double)", "f4": "real(c_float)", "b1": "integer(c_int8_t)",
         **{f"{k}{n}": f"integer(c_int{8 * n}_t)" for k in "iu" for n in (1, 2, 4, 8)}}  # fmt: skip


def examples_of(export):
    """Texts by file name."""
    name = export.entry.name
    return {f"{name}_example.c": _in_c(export), f"{name}_example.f90": _in_fortran(export)}


def _numbers(parameter):
    """(the first numbers of an argument, how many there are)."""
    memory = memory_of(np.asarray(parameter.value), parameter.nbytes)
    return (memory if len(memory) <= MOST else memory[:REPEATED]), len(memory)


def _count(parameter):
    return max(parameter.nbytes // parameter.dtype.itemsize, 1)


# ---- C -----------------------------------------------------------------------------------------------------------------------


def _in_c(export):
    entry, name = export.entry, export.entry.name
    lines = [line for p in entry.parameters for line in _declared_in_c(p)]
    arguments = ", ".join([*(p.name for p in entry.parameters), "workspace"])
    lines += [
        f"void *workspace = malloc({name}_workspace_size());", "if (!workspace)", "    return 2;",
        f"const int status = {name}({arguments});", "free(workspace);", "if (status) {",
        f'    fprintf(stderr, "{name}: status %d\\n", status);', "    return 1;", "}",
    ]  # fmt: skip
    for p in entry.parameters:
        if p.output:
            size = p.nbytes // p.dtype.itemsize
            lines += [
                "{", "    double sum = 0;", f"    for (size_t k = 0; k < {size}; k++)", f"        sum += (double){p.name}[k];",
                f'    printf("{p.name}: sum %.17g, first", sum);', f"    for (size_t k = 0; k < {min(size, SHOWN)}; k++)",
                f'        printf(" %.17g", (double){p.name}[k]);', '    printf("\\n");', "}",
            ]  # fmt: skip
    lines.append("return 0;")
    head = [
        f"/* Calls {name}. Compile with: cc -std=c99 {name}_example.c {name}.c -lm */", "#include <math.h>", "#include <stdio.h>",
        "#include <stdlib.h>", "", f'#include "{name}.h"', "", "int main(void)", "{",
    ]  # fmt: skip
    return "\n".join([*head, *indented(lines), "}", ""])


def _declared_in_c(p):
    if p.output:
        return [f"static {p.ctype} {p.name}[{_count(p)}];"]
    char = p.dtype.char
    if p.scalar:
        return [f"const {p.ctype} {p.name} = {literal(np.asarray(p.value)[()], char)};"]
    first, n = _numbers(p)
    if len(first) == n:
        return declared(f"static const {p.ctype} {p.name}[]", [literal(x, char) for x in first.tolist()] or ["0"]).splitlines()
    known = declared(f"static const {p.ctype} first_of_{p.name}[]", [literal(x, char) for x in first.tolist()])
    return [*known.splitlines(), f"static {p.ctype} {p.name}[{n}];", f"for (size_t k = 0; k < {n}; k++)",
            f"    {p.name}[k] = first_of_{p.name}[k % {len(first)}];"]  # fmt: skip


# ---- Fortran -----------------------------------------------------------------------------------------------------------------


def _in_fortran(export):
    entry, name = export.entry, export.entry.name
    names = _distinct([p.name for p in entry.parameters], {*OWN, name.lower()})
    dummies = [f"{KINDS[p.dtype.str[1:]]}, {_intent(p)} :: {n}{'' if p.scalar else '(*)'}" for p, n in
               zip(entry.parameters, names, strict=True)]  # fmt: skip
    arguments = _wrapped([*names, "workspace"])
    lines = [
        "use, intrinsic :: iso_c_binding", "use, intrinsic :: ieee_arithmetic", "implicit none", "interface",
        f"  function {name}( &", *arguments,
        f'      ) bind(c, name="{name}") result(status)', "    use, intrinsic :: iso_c_binding", *(f"    {d}" for d in dummies),
        "    integer(c_int8_t) :: workspace(*)", "    integer(c_int) :: status", f"  end function {name}",
        f"  function {name}_workspace_size() &", f'      bind(c, name="{name}_workspace_size") result(n)',
        "    use, intrinsic :: iso_c_binding",
        "    integer(c_size_t) :: n", f"  end function {name}_workspace_size", "end interface",
        "integer(c_int8_t), allocatable :: workspace(:)", "integer(c_int) :: status",
    ]  # fmt: skip
    if any(not p.output and not p.scalar and len(_numbers(p)[0]) < _numbers(p)[1] for p in entry.parameters):
        lines.append("integer :: k_")
    body = [f"allocate(workspace({name}_workspace_size()))"]
    for p, n in zip(entry.parameters, names, strict=True):
        size = "" if p.scalar else f"({_count(p)})"
        lines.append(f"{KINDS[p.dtype.str[1:]]}, save :: {n}{size}")
        body += [] if p.output else _set_in_fortran(p, n)
    body += [f"status = {name}( &", *arguments, "  )", "if (status /= 0) then", f"  print '(a, i0)', '{name}: status ', status",
             "  stop 1", "end if"]  # fmt: skip
    for p, n in zip(entry.parameters, names, strict=True):
        if p.output:
            size = p.nbytes // p.dtype.itemsize
            body += [f"print '(a, *(1x, es24.16))', '{n}: sum, first', &", f"  real(sum({n}(:{size})), c_double), &",
                     f"  real({n}(:{min(size, SHOWN)}), c_double)"]  # fmt: skip
    head = [f"! Calls {name}. Compile with: gfortran {name}_example.f90 {name}.o -lm, after cc -std=c99 -O3 -c {name}.c"]
    return "\n".join([*head, f"program {name}_example", *(f"  {line}" for line in [*lines, *body]), "end program", ""])


def _set_in_fortran(p, name):
    kind = KINDS[p.dtype.str[1:]].partition("(")[2].rstrip(")")
    if p.scalar:
        return [f"{name} = {_constant(np.asarray(p.value)[()], p.dtype, kind)}"]
    first, n = _numbers(p)
    lines = []
    for k in range(0, len(first), PER_LINE):
        part = first[k : k + PER_LINE]
        numbers = ", ".join(_constant(x, p.dtype, kind) for x in part.tolist())
        lines.append(f"{name}({k + 1}:{k + len(part)}) = [{numbers}]")
    if len(first) < n:
        lines += [f"do k_ = {len(first) + 1}, {n}", f"  {name}(k_) = {name}(mod(k_ - 1, {len(first)}) + 1)", "end do"]
    return lines


def _constant(x, dtype, kind):
    if dtype.kind != "f":
        return f"{int(x)}_{kind}"
    if not np.isfinite(x):
        what = "quiet_nan" if np.isnan(x) else "positive_inf" if x > 0 else "negative_inf"
        return f"ieee_value(0.0_{kind}, ieee_{what})"
    return f"{float(x):.17e}_{kind}"


def _intent(p):
    return "value" if p.scalar else "intent(out)" if p.output else "intent(in)"


def _distinct(names, taken):
    """Names that differ in Fortran, where capitals are small letters."""
    found = []
    for name in names:
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        found.append(name)
    return found


def _wrapped(names):
    """Arguments, some of them in a line that goes on."""
    rows = [", ".join(names[k : k + PER_LINE]) for k in range(0, len(names), PER_LINE)]
    return [f"      {row}{', &' if k < len(rows) - 1 else ' &'}" for k, row in enumerate(rows)]
