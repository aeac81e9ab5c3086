"""A kernel as a function in C that goes through its tiles instruction by instruction: for kernels that are no fused loops.

Law: such a function does to memory what the tiled engine does for the same rows of the same kernel; registers are buffers as long
as a tile. It is what kernels with index arrays come to.
"""

from __future__ import annotations

from sparsead.engine.native.kernels import TYPES, Source, expression, indented
from sparsead.schedule.peephole import parts


def tiled_source(low):
    """The `Source` of a `Lowered` kernel; None if it has numbers that C does not have."""
    kernel = low.kernel
    dtypes = [*kernel.dtypes, *(i.access.dtype for i in kernel.instrs if i.access is not None)]
    if any(dtype.char not in TYPES or not dtype.isnative for dtype in dtypes):
        return None
    return _Writer(low).source()


class _Writer:
    def __init__(self, low):
        self.low, self.kernel, self.axis = low, low.kernel, low.axis
        self.numbers, self.calls = [], []
        self.summed = [k for k, i in enumerate(self.kernel.instrs) if self._is_sum(i)]

    def _is_sum(self, instr):
        plain = instr.kind == "accumulate" and instr.access.by is None
        return plain and bool(self.kernel.space) and not any(instr.access.strides)

    def source(self):
        inside = [line for k, instr in enumerate(self.kernel.instrs) for line in self._instr(k, instr)]
        head = [f"const {self._type(r)} c{n} = *(const {self._type(r)} *)numbers[{n}];" for n, r in enumerate(self.numbers)]
        lines = [*head, *self._buffers(), *self._tiles(inside), *(f"(void)c{n};" for n in range(len(self.numbers)))]
        body = "\n".join(["{", *indented(lines), "}"])
        return Source(body, (), tuple(self.numbers), tuple(self.calls), tuple(self.summed))

    def _type(self, r):
        return TYPES[self.kernel.dtypes[r].char]

    def _buffers(self):
        """Memory of registers: where the tiled engine has them; those that are windows there have memory of their own."""
        points, homes = max(self.low.rows * self.low.inner, 1), self.low.homes
        made = sorted({r for i in self.kernel.instrs for r in parts(i)[1]})
        shared = [r for r in made if homes[r] >= 0]
        lines = [f"_Alignas(64) char registers[{self.low.scratch}];"] if shared else []
        lines += [f"{self._type(r)} *const b{r} = ({self._type(r)} *)(registers + {homes[r]});" for r in shared]
        return lines + [f"{self._type(r)} b{r}[{points}];" for r in made if homes[r] < 0]

    def _tiles(self, inside):
        extents, axis = self.low.extents, self.axis
        if not extents:
            return ["const intptr_t n = last - first;", *inside]
        low, high = ("first", "last") if axis == 0 else ("0", str(extents[axis]))
        rows = [
            f"for (intptr_t t = {low}; t < {high}; t += {self.low.rows}) {{",
            f"    const intptr_t m = {high} - t < {self.low.rows} ? {high} - t : {self.low.rows}, n = m * {self.low.inner};",
            "    (void)n;", *indented(inside), "}",
        ]  # fmt: skip
        for k in range(axis - 1, -1, -1):
            low, high = ("first", "last") if k == 0 else ("0", str(extents[k]))
            rows = [f"for (intptr_t i{k} = {low}; i{k} < {high}; i{k}++) {{", *indented(rows), "}"]
        return rows

    # ---- instructions --------------------------------------------------------------------------------------------------------

    def _instr(self, k, instr):
        if instr.kind == "apply":
            return self._apply(k, instr)
        *numbers, r = instr.registers
        if k in self.summed:
            return self._sum(k, r)
        if instr.kind == "accumulate" and not numbers and self.low.extents and self.low.windows[k].step == 0:
            return self._rows(k, r)
        shift = self._shift(instr.access.by, numbers[0]) if numbers else []
        memory = f"*({TYPES[instr.access.dtype.char]} *)(p{' + s' if shift else ''})"
        if instr.kind == "load":
            text = f"b{r}[j] = {memory};"
        else:
            text = f"{memory} {'=' if instr.kind == 'store' else '+='} {self._operand(r)};"
        return self._points(k, [*shift, text])

    def _shift(self, by, r):
        """Index numbers that are in bounds, as has been checked; negative ones count from the end."""
        index = self._operand(r)
        return [f"const intptr_t s = ({index} < 0 ? {index} + {by.extent} : {index}) * (intptr_t){by.step};"]

    def _operand(self, r):
        if r not in self.kernel.constants:
            return f"b{r}[j]"
        return f"c{self._number(r)}"

    def _number(self, r):
        if r not in self.numbers:
            self.numbers.append(r)
        return self.numbers.index(r)

    def _function(self, k):
        self.calls.append(k)
        return f"calls[{len(self.calls) - 1}]"

    def _apply(self, k, instr):
        dtypes = [self.kernel.dtypes[r] for r in instr.registers]
        operands, results = parts(instr)
        value = expression(instr.op, dtypes, len(operands))
        if value is not None:
            text = f"b{results[0]}[j] = {value.format(*map(self._operand, operands))};"
            return ["for (intptr_t j = 0; j < n; j++)", f"    {text}"]
        found = [self._register(r) for r in instr.registers]
        pointers, strides = ", ".join(p for p, _ in found), ", ".join(s for _, s in found)
        return [f"APPLY({self._function(k)}, n, ARGS({pointers}), STEPS({strides}));"]

    def _register(self, r):
        if r in self.kernel.constants:
            return f"numbers[{self._number(r)}]", "0"
        return f"(char *)b{r}", str(self.kernel.dtypes[r].itemsize)

    def _sum(self, k, r):
        pointer, stride = self._register(r)
        target, function = f"sums + {self.summed.index(k)} * NUMBER", self._function(k)
        if not self.low.bent[k]:
            return [f"add(&{function}, {target}, {pointer}, {stride}, n);"]
        row = self.low.extents[-1]
        each = f"add(&{function}, {target}, {pointer} + o * {stride}, {stride}, {row});"
        return [f"for (intptr_t o = 0; o < n; o += {row})", f"    {each}"]

    def _rows(self, k, r):
        """Rows whose points are all added to one number."""
        (pointer, stride), function, window = self._register(r), self._function(k), self.low.windows[k]
        if window.uniform:
            return [f"add(&{function}, {self._begin(k)}, {pointer}, {stride}, n);"]
        row = self.low.extents[-1]
        rows = [f"add(&{function}, p, {pointer} + j * {stride}, {stride}, {row});", f"j += {row};"]
        return self._nest(k, len(self.low.extents) - 1, rows)

    def _points(self, k, lines):
        return self._nest(k, len(self.low.extents), [*lines, "j++;"])

    def _nest(self, k, end, lines):
        """`lines` at all points of the axes of a tile up to `end`, with the address `p` in the window."""
        strides, extents = self.low.windows[k].strides, self.low.extents
        terms = [f"k{a} * (intptr_t){strides[a]}" for a in range(self.axis, end) if strides[a]]
        rows = [f"char *const p = {' + '.join([self._begin(k), *terms])};", *lines]
        for a in range(end - 1, self.axis - 1, -1):
            count = "m" if a == self.axis else str(extents[a])
            rows = [f"for (intptr_t k{a} = 0; k{a} < {count}; k{a}++) {{", *indented(rows), "}"]
        return ["{", "    intptr_t j = 0;", *indented(rows), "    (void)j;", "}"]

    def _begin(self, k):
        """Where the tile begins in a window."""
        strides, terms = self.low.windows[k].strides, [f"base[{k}]"]
        for a in range(self.axis + 1 if strides else 0):
            if strides[a]:
                terms.append(f"{'t' if a == self.axis else f'i{a}'} * (intptr_t){strides[a]}")
        return " + ".join(terms)
