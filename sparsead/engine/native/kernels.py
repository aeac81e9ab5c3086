"""A kernel as a function in C: fused loops over its points.

Law: such a function does to memory what the tiled engine does for the same rows of the same kernel, to the bit.

Instructions come in levels, each of which is one loop over the points of a tile, and behind it calls of inner loops on whole
tiles: functions that are not written out, and sums. An instruction is in the first level where its operands are known and where
all that it must not overtake in memory is done. What one level leaves to another is in buffers as long as a tile; a kernel of one
level has none. Tiles are those of `sparsead.schedule.lower`: what is added to shifted places, or summed up, is rounded in their
order.
"""

from __future__ import annotations

from typing import NamedTuple

from sparsead.schedule.peephole import parts
from sparsead.schedule.windows import meeting

TYPES = {
    "?": "uint8_t", "b": "signed char", "B": "unsigned char", "h": "short", "H": "unsigned short", "i": "int", "I": "unsigned",
    "l": "long", "L": "unsigned long", "q": "long long", "Q": "unsigned long long", "f": "float", "d": "double",
}  # fmt: skip
FLOATS = {
    "add": "{0} + {1}", "subtract": "{0} - {1}", "multiply": "{0} * {1}", "divide": "{0} / {1}", "negative": "-{0}",
    "square": "{0} * {0}", "reciprocal": "1 / {0}", "positive": "{0}", "strong_multiply": "{0} == 0 ? 0 : {0} * {1}",
    "maximum": "{0} > {1} ? {0} : {0} != {0} ? {0} : {1}", "minimum": "{0} < {1} ? {0} : {0} != {0} ? {0} : {1}",
    "muladd": "{0} * {1} + {2}", "mulsub": "{0} * {1} - {2}", "negmuladd": "{2} - {0} * {1}", "add3": "{0} + {1} + {2}",
    "sqrt": "ROOT{f}({0})", "absolute": "MAGNITUDE{f}({0})",
}  # fmt: skip
COMPARISONS = {"less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!="}
LOGIC = {
    "logical_not": "{0} == 0", "logical_and": "({0} != 0) & ({1} != 0)", "logical_or": "({0} | {1}) != 0",
    "logical_xor": "({0} != 0) ^ ({1} != 0)",
}  # fmt: skip
LITERAL = 16  # extents up to which an axis has them in the text: short loops are unrolled
NEAR = 16  # points by which windows may be shifted against each other and be added to in one loop


def expression(op, dtypes, n_operands):
    """An elementwise op on numbers of these types in C, ``{0}``, ``{1}``.. its operands; None if it is not written out."""
    chars = "".join([dtype.char for dtype in dtypes])
    first, result = chars[0], chars[-1]
    if any(char not in TYPES for char in chars) or len(chars) != n_operands + 1:
        return None
    if op in ("copy", "stop_gradient"):
        return "{0}"
    if op == "cast":
        return _cast(first, result)
    if op == "select":
        return "{0} ? {1} : {2}"
    if op in COMPARISONS and first == chars[1]:
        return f"{{0}} {COMPARISONS[op]} {{1}}"
    if op in LOGIC and set(chars) == {"?"}:
        return LOGIC[op]
    if op in FLOATS and set(chars) in ({"d"}, {"f"}):
        return FLOATS[op].replace("{f}", "" if result == "d" else "F")
    return None


def _cast(source, result):
    if result == "?":
        return "{0} != 0"
    if source in "fd" and result not in "fd":
        return None  # numbers out of range are anything
    return f"({TYPES[result]}){{0}}"


class Source(NamedTuple):
    """A function in C for one kernel, and for all that differ from it in nothing but what it is given.

    Attributes
    ----------
    body : str
        From its parameters on.
    sizes : tuple of int
        Extents and strides.
    numbers : tuple of int
        Registers whose numbers it is given.
    calls : tuple of int
        Instructions whose inner loops it is given.
    sums : tuple of int
        Instructions that add to one number.
    """

    body: str
    sizes: tuple[int, ...]
    numbers: tuple[int, ...]
    calls: tuple[int, ...]
    sums: tuple[int, ...]


def source_of(low, later=(), literal=False):
    """The `Source` of a `Lowered` kernel; None if there is an `obstacle`.

    Copies to slots of `later` go past the caches. With `literal` all sizes are in the text.
    """
    return None if obstacle(low) else _Writer(low, set(later), literal).source()


def obstacle(low):
    """Why a `Lowered` kernel has no `Source`; "" if it has one."""
    instrs = low.kernel.instrs
    dtypes = [low.kernel.dtypes[r] for i in instrs for r in i.registers]
    dtypes += [i.access.dtype for i in instrs if i.access is not None]
    foreign = next((dtype for dtype in dtypes if dtype.char not in TYPES or not dtype.isnative), None)
    if foreign is not None:
        return f"numbers of dtype {foreign.name if foreign.isnative else foreign.str}"
    if 0 in low.extents:
        return "no points"
    moved = any(step % w.access.dtype.itemsize for w in low.windows if w for step in _steps(w))
    return "numbers that are not aligned" if moved else ""


def _steps(window):
    """Bytes by which a window is moved."""
    yield from (window.access.offset, *window.strides, *(index.step for index in window.access.moving))
    if window.access.by is not None:
        yield window.access.by.step


LOOP, CALL = 0, 1


class _Writer:
    """What is done where, and then its text.

    `at` says for each instruction its level and whether it is in the loop of it or a call behind; `home` for each register that
    more than one place knows of where it is.
    """

    def __init__(self, low, later, literal):
        self.low, self.kernel, self.instrs, self.later, self.literal = low, low.kernel, low.kernel.instrs, later, literal
        self.sizes, self.names, self.numbers, self.calls = [], {}, [], []
        self.made = {r: k for k, i in enumerate(self.instrs) for r in parts(i)[1]}
        self.aimed = self._aimed()
        self._placed()
        self._homes()

    # ---- levels ------------------------------------------------------------------------------------------------------------

    def _is_call(self, k):
        instr, window = self.instrs[k], self.low.windows[k]
        if instr.kind == "apply":
            dtypes = [self.kernel.dtypes[r] for r in instr.registers]
            return expression(instr.op, dtypes, instr.n_operands) is None
        if instr.kind == "load" or instr.access.by is not None:
            return False
        if instr.kind == "accumulate":
            return bool(self.low.extents) and window.step == 0
        return instr.access.slot in self.later and window.access.dtype.itemsize == 8

    def _aimed(self):
        """Results of calls that are made in the windows that they are stored to: register -> the store."""
        return {
            i.registers[-1]: k for k, i in enumerate(self.instrs)
            if i.kind == "store" and self.low.direct[k] and self.low.windows[k].uniform and not self._is_call(k)
            and i.registers[-1] in self.made and self._is_call(self.made[i.registers[-1]])
        }  # fmt: skip

    def _seen(self, r):
        """The load or store whose window register `r` is read from, or None."""
        k = self.aimed.get(r, self.made.get(r))
        if k is None or not self.low.direct[k] or self.instrs[k].kind == "apply":
            return None
        return k

    def _touched(self, k):
        """(kind, access) of the memory that an instruction works on, that of its registers included."""
        instr = self.instrs[k]
        if instr.access is not None and not self._is_sum(k):
            yield instr.kind, instr.access
        operands, results = parts(instr)
        for r in operands:
            if self._seen(r) is not None:
                yield "load", self.instrs[self._seen(r)].access
        for r in results:
            if r in self.aimed:
                yield "store", self.instrs[self.aimed[r]].access

    def _is_sum(self, k):
        """Whether it adds to one number, which is kept apart until all is done."""
        instr = self.instrs[k]
        plain = instr.kind == "accumulate" and instr.access.by is None
        return plain and bool(self.kernel.space) and not any(instr.access.strides)

    def _placed(self):
        self.at = []
        before: dict[int, list] = {}  # slot -> (kind, access, place)
        for k, instr in enumerate(self.instrs):
            call = self._is_call(k)
            level = max((self._after(self.at[self.made[r]], call, False) for r in parts(instr)[0] if r in self.made), default=0)
            touched = list(self._touched(k))
            for kind, access in touched:
                for other, there, place in before.get(access.slot, ()):
                    if kind != "load" or other != "load":
                        how = meeting(there, access, self.kernel.space) if self.kernel.space else "same"
                        if how != "apart":
                            level = max(level, self._after(place, call, how == "meet"))
            self.at.append((level, CALL if call else LOOP))
            for kind, access in touched:
                before.setdefault(access.slot, []).append((kind, access, self.at[k]))

    @staticmethod
    def _after(place, call, apart):
        """The first level for what comes behind `place`; two that are `apart` are not in one loop."""
        level, part = place
        return level + (not call and (part == CALL or apart))

    def _homes(self):
        """Registers that more than one level or call knows of, and are not to be seen in memory, have buffers."""
        last: dict[int, tuple] = {}
        crossing = set()
        for k, instr in enumerate(self.instrs):
            for r in parts(instr)[0]:
                last[r] = max(last.get(r, (0, 0)), self.at[k])
                if r in self.made and (self.at[k] != self.at[self.made[r]] or self.at[k][1] == CALL):
                    crossing.add(r)
            if self.at[k][1] == CALL and instr.kind == "apply":
                crossing.update(parts(instr)[1])
        self.home, self.buffers = {}, []
        free: dict[str, list] = {}
        ends: list = []
        for place, r in sorted((self.at[self.made[r]], r) for r in crossing if not self._in_view(r)):
            for end, gone in [e for e in ends if e[0] < place]:
                free.setdefault(self.kernel.dtypes[gone].char, []).append(self.home[gone])
                ends.remove((end, gone))
            char = self.kernel.dtypes[r].char
            if free.get(char):
                self.home[r] = free[char].pop()
            else:
                self.home[r] = len(self.buffers)
                self.buffers.append(char)
            ends.append((last.get(r, place), r))

    def _in_view(self, r):
        """Whether a register is read from a window wherever it is wanted."""
        k = self._seen(r)
        return k is not None and (self.low.windows[k].uniform or not any(
            r in parts(i)[0] and self.at[j][1] == CALL for j, i in enumerate(self.instrs)))  # fmt: skip

    # ---- text --------------------------------------------------------------------------------------------------------------

    def source(self):
        self.axis, self.levels = self.low.axis, max((level for level, _ in self.at), default=0) + 1
        self.tiled = bool(self.low.extents) and (self.levels > 1 or any(part == CALL for _, part in self.at))
        if not self.tiled:
            self.axis = 0
        windows = [w for w in self.low.windows if w]
        extents = self.low.extents
        self.flat = all(
            all(w.strides[k] == w.strides[k + 1] * extents[k + 1] for k in range(self.axis, len(extents) - 1)) for w in windows
        )
        inside, level = [], 0
        while level < self.levels:
            run = self._shifted(level)
            inside += self._added_together([k for here in run for k in here]) if len(run) > 1 else self._level(level)
            level += max(len(run), 1)
        rows = self._tiles(inside)
        types = [TYPES[self.kernel.dtypes[r].char] for r in self.numbers]
        head = [f"const {t} c{n} = *(const {t} *)numbers[{n}];" for n, t in enumerate(types)]
        head = [f"const intptr_t {self._name(n)} = sizes[{n}];" for n in range(len(self.sizes))] + head
        body = "\n".join(["{", *(f"    {line}" for line in head + rows), "}"])
        sums = tuple(k for k in range(len(self.instrs)) if self._is_sum(k))
        return Source(body, tuple(self.sizes), tuple(self.numbers), tuple(self.calls), sums)

    @staticmethod
    def _name(n):
        return f"n{n}"

    def _size(self, key, value, literal=()):
        """The name of an extent or stride, or itself."""
        if self.literal or value in literal:
            return str(value)
        if key not in self.names:
            self.names[key] = self._name(len(self.sizes))
            self.sizes.append(value)
        return self.names[key]

    def _extent(self, axis):
        return self._size(("extent", axis), self.low.extents[axis], range(1, LITERAL + 1))

    def _stride(self, k, axis):
        item = self.low.windows[k].access.dtype.itemsize
        last = axis == len(self.low.extents) - 1
        return self._size(("stride", k, axis), self.low.windows[k].strides[axis], (0, item, -item) if last else (0,))

    def _number(self, r):
        if r not in self.numbers:
            self.numbers.append(r)
        return self.numbers.index(r)

    def _tiles(self, inside):
        """All tiles of the rows that are asked for."""
        extents, axis = self.low.extents, self.axis
        if not extents:
            return ["(void)first, (void)last;", *self._buffers(), *self._pointers(), *inside]
        rows = [*self._buffers(), *self._points(), *self._pointers(), *inside]
        low, high = ("first", "last") if axis == 0 else ("0", self._extent(axis))
        if self.tiled:
            height = self._size("rows", self.low.rows)
            loop = f"for (intptr_t t = {low}; t < {high}; t += {height}) {{"
            rows = [loop, f"    const intptr_t m = {high} - t < {height} ? {high} - t : {height};", *indented(rows), "}"]
        else:
            rows = ["const intptr_t t = first, m = last - first;", *rows]
        for k in range(axis - 1, -1, -1):
            low, high = ("first", "last") if k == 0 else ("0", self._extent(k))
            rows = [f"for (intptr_t i{k} = {low}; i{k} < {high}; i{k}++) {{", *indented(rows), "}"]
        return rows

    def _points(self):
        inner = [self._extent(k) for k in range(self.axis + 1, len(self.low.extents))]
        return [f"const intptr_t n = {' * '.join(['m', *inner])};"] if self.flat or self.tiled else []

    def _buffers(self):
        if not self.buffers:
            return []
        points = 1 << max(self.low.rows * self.low.inner - 1, 63).bit_length()  # one text for tiles of about one size
        return [f"_Alignas(64) {TYPES[char]} b{n}[{points}];" for n, char in enumerate(self.buffers)]

    def _pointers(self):
        lines = []
        for k, w in enumerate(self.low.windows):
            if w is None or self._is_sum(k):
                continue
            terms = [f"base[{k}]"]
            for axis in range(self.axis + 1 if w.strides else 0):
                stride = self._stride(k, axis)
                if stride != "0":
                    terms.append(f"{'t' if axis == self.axis else f'i{axis}'} * {stride}")
            lines.append(f"char *const p{k} = {' + '.join(terms)};")
        return lines

    def _level(self, level):
        here = [k for k, place in enumerate(self.at) if place == (level, LOOP)]
        calls = [k for k, place in enumerate(self.at) if place == (level, CALL)]
        return (self._loop(here) if here else []) + [line for k in calls for line in self._call(k)]

    def _shifted(self, level):
        """By level, from this one on: accumulations of buffers into one slot, some points from each other."""
        levels: list[list[int]] = []
        for behind in range(level, self.levels):
            here = [k for k, place in enumerate(self.at) if place[0] == behind]
            others = [k for those in (*levels, here) for k in those]
            if not all(self._is_shift(k, others) for k in here):
                break
            levels.append(here)
        return levels

    def _is_shift(self, k, others):
        instr, window = self.instrs[k], self.low.windows[k]
        if instr.kind != "accumulate" or self._is_call(k) or instr.registers[-1] not in self.home or not self.flat:
            return False
        item = instr.access.dtype.itemsize
        if instr.access.by is not None or not window.strides or window.strides[-1] != item:
            return False
        for other in others:
            theirs = self.instrs[other].access
            apart, rest = divmod(instr.access.offset - theirs.offset, item)
            alike = (theirs.slot, theirs.dtype, theirs.moving) == (instr.access.slot, instr.access.dtype, instr.access.moving)
            if not alike or rest or abs(apart) > NEAR or self.low.windows[other].strides != window.strides:
                return False
        return True

    def _added_together(self, run):
        """One loop that does several accumulations: each element gets in the same order what it gets by one after the other.

        At the ends of a tile, where only some of them reach, they are done one after the other.
        """
        first = min(run, key=lambda k: self.instrs[k].access.offset)
        item, kind = self.instrs[first].access.dtype.itemsize, TYPES[self.instrs[first].access.dtype.char]
        shift = {k: (self.instrs[k].access.offset - self.instrs[first].access.offset) // item for k in run}
        most = max(shift.values())
        added = {k: f"b{self.home[self.instrs[k].registers[-1]]}[j - {shift[k]}]" for k in run}
        ends = {k: f"j < n + {shift[k]}; j++) at[j] += {added[k]};" for k in run}
        return [
            "{",
            f"    {kind} *const at = ({kind} *)p{first};",
            *(f"    for (intptr_t j = {shift[k]}; j < {most} && {ends[k]}" for k in run if shift[k] < most),
            "    INDEPENDENT",
            f"    for (intptr_t j = {most}; j < n; j++) {{",
            f"        {kind} sum = at[j];",
            *(f"        sum += {added[k]};" for k in run),
            "        at[j] = sum;",
            "    }",
            f"    const intptr_t rest = n > {most} ? n : {most};",
            *(f"    for (intptr_t j = rest; {ends[k]}" for k in run if shift[k]),
            "}",
        ]

    def _loop(self, here):
        """One loop over all points of the tile."""
        gone = set(self.aimed.values())
        needed = [k for k in here if k not in gone and (self.instrs[k].kind != "load" or not self._loaded_later(k, here))]
        if not needed:
            return []
        self.known, self.used = {}, set()
        if not self.low.extents:
            self.point = lambda k: f"p{k}"
            return ["{", *indented([line for k in needed for line in self._instr(k, "0")]), "}"]
        last = len(self.low.extents) - 1
        strides = {k: self._stride(k, last) for k in range(len(self.instrs)) if self.low.windows[k]}
        index = "j" if self.flat or last == self.axis else "o + j"
        pointer = "p" if self.flat or last == self.axis else "q"
        self.point = lambda k: _step(f"{pointer}{k}", strides[k], self.low.windows[k].access.dtype)
        body = [line for k in needed for line in self._instr(k, index)]
        count = "n" if self.flat else "m" if last == self.axis else self._extent(last)
        once = any(self._is_in_order(k, strides[k]) for k in needed if self.low.windows[k])
        rows = [*([] if once else ["INDEPENDENT"]), f"for (intptr_t j = 0; j < {count}; j++) {{", *indented(body), "}"]
        if pointer == "p":
            return rows
        return self._odometer(rows, sorted(self.used), f"o += {count}")

    def _is_in_order(self, k, stride):
        """Whether several points may write to one place."""
        by = self.instrs[k].access.by
        return self.instrs[k].kind != "load" and (stride == "0" if by is None else not by.distinct)

    def _odometer(self, rows, windows, turn, last=None):
        """`rows` for all points of the axes before axis `last`, by default the last."""
        last, axis = len(self.low.extents) - 1 if last is None else last, self.axis
        index = {k: "k" + str(k) for k in range(axis, last)}
        lines = []
        for k in windows:
            terms = [f"p{k}"] + [f"{index[a]} * {self._stride(k, a)}" for a in range(axis, last) if self._stride(k, a) != "0"]
            lines.append(f"char *const q{k} = {' + '.join(terms)};")
        rows = [*lines, *rows, f"{turn};"]
        for a in range(last - 1, axis - 1, -1):
            count = "m" if a == axis else self._extent(a)
            rows = [f"for (intptr_t {index[a]} = 0; {index[a]} < {count}; {index[a]}++) {{", *indented(rows), "}"]
        return ["{", "    intptr_t o = 0;", *indented(rows), "    (void)o;", "}"]

    def _loaded_later(self, k, here):
        """Whether a load need not be done in its own level: it is seen in memory, and only others read it."""
        r = self.instrs[k].registers[-1]
        return r not in self.home and not any(r in parts(self.instrs[j])[0] for j in here)

    def _instr(self, k, index):
        instr, lines = self.instrs[k], []
        operands, results = parts(instr)
        names = [self._operand(r, index, lines) for r in operands]
        if instr.kind == "apply":
            dtypes = [self.kernel.dtypes[r] for r in instr.registers]
            self._set(results[0], expression(instr.op, dtypes, instr.n_operands).format(*names), index, lines)
        elif instr.kind == "load":
            if results[0] not in self.known:
                self.used.add(k)
                self._set(results[0], self._memory(k, *self._indexed(k, names, lines)), index, lines)
        else:
            self.used.add(k)
            where = self._memory(k, *self._indexed(k, names[:-1], lines))
            lines.append(f"{where} {'=' if instr.kind == 'store' else '+='} {names[-1]};")
        return lines

    def _indexed(self, k, names, lines):
        """The bytes by which the index number of a point moves a window, if it has any."""
        by = self.instrs[k].access.by
        if by is None:
            return []
        lines.append(f"const intptr_t x{k} = (intptr_t){names[0]};")
        extent, step = (self._size(("index " + what, k), getattr(by, what)) for what in ("extent", "step"))
        return [f"(x{k} < 0 ? x{k} + {extent} : x{k}) * {step}"]

    def _memory(self, k, *moved):
        return f"*({TYPES[self.low.windows[k].access.dtype.char]} *)({' + '.join([self.point(k), *moved])})"

    def _set(self, r, value, index, lines):
        self.known[r] = f"r{r}"
        lines.append(f"const {TYPES[self.kernel.dtypes[r].char]} r{r} = {value};")
        if r in self.home:
            lines.append(f"b{self.home[r]}[{index}] = r{r};")

    def _operand(self, r, index, lines):
        """The name of an operand, read from its buffer or window first if this loop does not know it yet."""
        if r in self.kernel.constants:
            return f"c{self._number(r)}"
        if r not in self.known:
            self.known[r] = f"r{r}"
            if r in self.home:
                value = f"b{self.home[r]}[{index}]"
            else:
                k = self._seen(r)
                self.used.add(k)
                value = self._memory(k)
            lines.append(f"const {TYPES[self.kernel.dtypes[r].char]} r{r} = {value};")
        return self.known[r]

    # ---- calls -------------------------------------------------------------------------------------------------------------

    def _register(self, r):
        """(pointer, stride) of a register for a call."""
        if r in self.kernel.constants:
            return f"numbers[{self._number(r)}]", "0"
        if r in self.home:
            return f"(char *)b{self.home[r]}", str(self.kernel.dtypes[r].itemsize)
        k = self._seen(r)
        return f"p{k}", self._step_of(k)

    def _step_of(self, k):
        return self._stride(k, len(self.low.extents) - 1) if self.low.extents else "0"

    def _function(self, k):
        if k not in self.calls:
            self.calls.append(k)
        return f"calls[{self.calls.index(k)}]"

    def _call(self, k):
        instr, function = self.instrs[k], self._function(k)
        count = "n" if self.low.extents else "1"
        if instr.kind == "apply":
            return self._applied([self._register(r) for r in instr.registers], function, count)
        pointer, stride = self._register(instr.registers[-1])
        last = len(self.low.extents) - 1
        row = self._extent(last) if last > self.axis else "m"
        if self._is_sum(k):
            target = f"sums + {sum(map(self._is_sum, range(k)))} * NUMBER"
            if not self.low.bent[k]:
                return [f"add(&{function}, {target}, {pointer}, {stride}, n);"]
            each = f"add(&{function}, {target}, {pointer} + o * {stride}, {stride}, {row});"
            return [f"for (intptr_t o = 0; o < n; o += {row})", f"    {each}"]
        if instr.kind == "accumulate":
            return self._added(k, function, pointer, stride)
        if self.low.windows[k].uniform:
            return self._applied([(pointer, stride), (f"p{k}", self._step_of(k))], function, "n")
        shift = "" if stride == "0" else f" + o * {stride}"
        rows = self._applied([(pointer + shift, stride), (f"q{k}", self._step_of(k))], function, row)
        return self._odometer(rows, [k], f"o += {row}")

    def _added(self, k, function, pointer, stride):
        """Sums of rows, of which as many are taken together as the tiled engine takes."""
        if not self.low.bent[k]:
            return [f"add(&{function}, p{k}, {pointer}, {stride}, n);"]
        window, last = self.low.windows[k], len(self.low.extents) - 1
        seen = self._seen(self.instrs[k].registers[-1])
        if seen is None or self.low.windows[seen].uniform:
            while last > self.axis and window.strides[last - 1] == window.strides[last] * self.low.extents[last]:
                last -= 1
        count = " * ".join("m" if a == self.axis else self._extent(a) for a in range(last, len(self.low.extents)))
        shift = "" if stride == "0" else f" + o * {stride}"
        return self._odometer([f"add(&{function}, q{k}, {pointer}{shift}, {stride}, {count});"], [k], f"o += {count}", last)

    @staticmethod
    def _applied(registers, function, count):
        pointers, strides = ", ".join(p for p, _ in registers), ", ".join(s for _, s in registers)
        return [f"APPLY({function}, {count}, ARGS({pointers}), STEPS({strides}));"]


def indented(lines):
    return [f"    {line}" for line in lines]


def _step(pointer, stride, dtype):
    """A pointer moved along the last axis."""
    if stride == "0":
        return pointer
    return f"{pointer} + j * {stride}"
