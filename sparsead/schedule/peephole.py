"""Shorter kernels that do the same.

Law: every store and accumulation gets the same bits (a NaN may have another sign).
"""

from __future__ import annotations

from collections import Counter

from sparsead.schedule.form import Instr
from sparsead.schedule.windows import meeting


def shortened(kernel):
    """`kernel` with fewer instructions; a new one."""
    return _sunk(_added(_paired(_live(_Signs(_live(_lasting(kernel))).kernel))))


def parts(instr):
    """(registers that are read, registers that are set)."""
    return instr.registers[: instr.n_operands], instr.registers[instr.n_operands :]


def interferes(kernel, access, first, last, but, loads=False):
    """Whether an instruction from `first` to `last`, apart from `but`, writes (or reads) what is in the window."""
    return any(
        i.access is not None and k != but and (loads or i.kind != "load") and i.access.slot == access.slot
        and (not kernel.space or meeting(i.access, access, kernel.space) != "apart")
        for k, i in enumerate(kernel.instrs[first : last + 1], first)
    )  # fmt: skip


def _lasting(kernel):
    """Without stores that are overwritten before anybody reads there."""
    lasting, later = [], {}
    for k, instr in reversed(list(enumerate(kernel.instrs))):
        plain = instr.kind == "store" and instr.access.by is None
        again = later.get(instr.access[:5]) if plain else None  # all but the user's line
        if again is None or interferes(kernel, instr.access, k + 1, again - 1, k, loads=True):
            lasting.append(instr)
        if plain:
            later[instr.access[:5]] = k
    return kernel.with_instrs(lasting[::-1])


def unread(kernel):
    """The instructions whose results nobody reads."""
    read, found = set(), []
    for instr in reversed(kernel.instrs):
        operands, results = parts(instr)
        if instr.kind in ("store", "accumulate") or any(r in read for r in results):
            read.update(operands)
        else:
            found.append(instr)
    return found


def _live(kernel):
    gone = set(map(id, unread(kernel)))
    return kernel.with_instrs(instr for instr in kernel.instrs if id(instr) not in gone)


class _Signs:
    """Signs are carried along to the next sum or difference, which takes them in: ``c + -a * b`` is ``c - a * b``."""

    def __init__(self, kernel):
        self.kernel = kernel.with_instrs([])
        self.negatives = {}  # register -> the one that it is the negative of
        for instr in kernel.instrs:
            law = LAWS.get(instr.op) if instr.kind == "apply" and kernel.dtypes[instr.registers[-1]].char in "fd" else None
            (law or _Signs._other)(self, instr)

    def _apply(self, op, operands, result):
        self.kernel.instrs.append(Instr("apply", op, (*operands, result), None, len(operands)))

    def _plain(self, r):
        """The register with the number itself."""
        if r not in self.negatives:
            return r
        source = self.negatives.pop(r)
        self._apply("negative", [source], r)
        return r

    def _other(self, instr):
        operands, results = parts(instr)
        self.kernel.instrs.append(instr._replace(registers=(*map(self._plain, operands), *results)))

    def _negative(self, instr):
        x, z = instr.registers
        if x in self.negatives:
            self._apply("copy", [self.negatives[x]], z)
        else:
            self.negatives[z] = x

    def _product(self, instr):
        *operands, z = instr.registers
        if sum(r in self.negatives for r in operands) == 1:
            product = self.kernel.register(self.kernel.dtypes[z])
            self.negatives[z] = product
            z = product
        self._apply(instr.op, [self.negatives.get(r, r) for r in operands], z)

    def _sum(self, instr):
        a, b, z = instr.registers
        if b in self.negatives:
            source = self.negatives[b]  # a may be the same register
            self._apply("subtract", [self._plain(a), source], z)
        elif a in self.negatives:
            self._apply("subtract", [b, self.negatives[a]], z)
        else:
            self._apply("add", [a, b], z)

    def _difference(self, instr):
        a, b, z = instr.registers
        if b in self.negatives:
            source = self.negatives[b]
            self._apply("add", [self._plain(a), source], z)
        else:
            self._apply("subtract", [self._plain(a), b], z)


LAWS = {"negative": _Signs._negative, "multiply": _Signs._product, "divide": _Signs._product, "add": _Signs._sum,
        "subtract": _Signs._difference}  # fmt: skip
PAIRS = {("add", 0): "muladd", ("add", 1): "muladd", ("subtract", 0): "mulsub", ("subtract", 1): "negmuladd"}


def _paired(kernel):
    """Products that are only added to something, or subtracted, are one instruction with it; it rounds twice all the same."""
    reads = Counter(r for instr in kernel.instrs for r in parts(instr)[0])
    products = {i.registers[-1]: i for i in kernel.instrs if i.op == "multiply" and kernel.dtypes[i.registers[-1]].char in "fd"}
    paired, gone = {}, set()
    for k, instr in enumerate(kernel.instrs):
        for place in range(2) if instr.kind == "apply" and instr.op in ("add", "subtract") else ():
            product = products.get(instr.registers[place])
            if product is not None and reads[product.registers[-1]] == 1:
                a, b, c = product.registers
                other, result = instr.registers[1 - place], instr.registers[2]
                paired[k] = Instr("apply", PAIRS[instr.op, place], (a, b, other, result), None, 3)
                gone.add(c)
                break
    kept = [paired.get(k, i) for k, i in enumerate(kernel.instrs) if not (i.op == "multiply" and i.registers[-1] in gone)]
    return kernel.with_instrs(kept)


def _added(kernel):
    """Sums that are only added to something are one instruction with it; it rounds twice all the same."""
    reads = Counter(r for instr in kernel.instrs for r in parts(instr)[0])
    sums, gone, instrs = {}, set(), []
    for instr in kernel.instrs:
        if instr.kind == "apply" and instr.op == "add" and kernel.dtypes[instr.registers[-1]].char in "fd":
            *operands, result = instr.registers
            inner = next((r for r in operands if r in sums and reads[r] == 1), None)
            if inner is None:
                sums[result] = operands
            else:
                operands.remove(inner)
                instr = Instr("apply", "add3", (*sums[inner], *operands, result), None, 3)
                gone.add(inner)
        instrs.append(instr)
    return kernel.with_instrs(i for i in instrs if not (i.op == "add" and i.registers[-1] in gone))


def _sunk(kernel):
    """Stores of numbers come after the last use of what was read there before, which then need not be copied."""
    kernel = kernel.with_instrs(kernel.instrs)
    for instr in [i for i in kernel.instrs if i.kind == "store" and i.registers[-1] in kernel.constants and kernel.space]:
        k = kernel.instrs.index(instr)
        seen = {i.registers[-1] for i in kernel.instrs[:k] if i.kind == "load" and i.access == instr.access}
        last = max((j for j, i in enumerate(kernel.instrs) if seen.intersection(parts(i)[0])), default=k)
        if last > k and not interferes(kernel, instr.access, k + 1, last, k, loads=True):
            kernel.instrs.insert(last, kernel.instrs.pop(k))
    return kernel
