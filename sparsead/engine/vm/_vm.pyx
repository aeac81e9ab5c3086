"""Programs of the tiled engine: a schedule turned into the structures of vm.h, and run.

Law: results are those of the reference interpreter, up to the order in which sums are taken.
"""
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport intptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from sparsead.engine._simd cimport find_loop
from sparsead.tape._memory cimport Layout, layout_of

from math import prod
from typing import NamedTuple

import numpy as np
from numpy import asarray, empty, errstate, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead import config
from sparsead.decisions import LOG
from sparsead.engine._simd import isa
from sparsead.engine.room import amount, require
from sparsead.engine.threads import get_num_threads
from sparsead.ops.moving import out_of_bounds
from sparsead.schedule.form import Bounds, Choose, Fill, Guard, Kernel, Member, Repeat, Scalars, Strips
from sparsead.schedule.inner import loop_index
from sparsead.schedule.later import for_later
from sparsead.schedule.lower import lowered, put_off
from sparsead.schedule.planner import schedule_of
from sparsead.schedule.rings import ring_bytes
from sparsead.schedule.windows import coalesced
from sparsead.tape.spec import BY_NAME, GuardFailed, raised_by

cnp.import_array()


cdef extern from "numpy/ufuncobject.h":
    ctypedef void *PyUFuncGenericFunction
    ctypedef struct PyUFuncObject:
        PyUFuncGenericFunction *functions
        void **data

cdef extern from "vm.h":
    enum: VM_SEE, VM_FETCH, VM_AIM, VM_STORE, VM_ADD, VM_SUM, VM_APPLY, VM_INDEXED
    enum: VM_ANY_ORDER, VM_ALTERNATING, VM_IN_ORDER, VM_DEFERRED, NUMBER
    enum: VM_ADDS, VM_SUBTRACTS, VM_MULTIPLIES, VM_DIVIDES, VM_STRONG, VM_NEGATES, VM_SQUARES, VM_ROOTS, VM_INVERTS, VM_MODULUS
    enum: VM_COPIES, VM_LESS, VM_LESS_EQUAL, VM_GREATER, VM_GREATER_EQUAL, VM_EQUAL, VM_NOT_EQUAL, VM_SELECTS
    enum: VM_LOADS, VM_STORES, VM_ACCUMULATES, VM_LOADS_ANY, VM_STORES_ANY, VM_ACCUMULATES_ANY
    enum: VM_LOADS_AT, VM_STORES_AT, VM_ACCUMULATES_AT, VM_INDEXES, VM_GUARDS, VM_APPLIES, VM_PAUSES, VM_ENDS, VM_PAUSE
    enum: VM_KERNEL, VM_SCALARS, VM_CALL, VM_FILL, VM_REPEAT, VM_CHOOSE, VM_STRIPS, VM_BOUNDS
    enum: DONE, RAISED, OUT_OF_BOUNDS
    enum: VM_AXES, VM_ARGS
    ctypedef void (*vm_loop)(char **args, const intptr_t *points, const intptr_t *strides, void *data) noexcept nogil
    ctypedef struct vm_rows:
        char *at
        intptr_t step, hop
    ctypedef void (*vm_rows_loop)(const vm_rows *from_, const vm_rows *to, intptr_t rows, intptr_t n) noexcept nogil
    ctypedef struct vm_index:
        int slot, kind
        intptr_t offset, step, low, high
    ctypedef struct vm_window:
        int slot, n_index
        intptr_t offset, step, hop
        vm_index *index
        intptr_t *stride
    ctypedef struct vm_instr
    ctypedef struct vm_rows:
        pass
    ctypedef void (*vm_indexed)(const vm_instr *at, vm_rows w, vm_rows i, vm_rows r, intptr_t rows, intptr_t n) noexcept nogil
    ctypedef struct vm_instr:
        int kind, window, nargs
        int *args
        int bent
        vm_loop loop, sum
        vm_rows_loop short_rows
        void *data
        void *sum_data
        int number
        vm_indexed indexed
        intptr_t by, count, kept_numbers, kept_values, number_item, value_item
        int kept
        vm_loop keep_number, keep_value
    ctypedef struct call_t:
        vm_loop loop, sum
        void *data
        void *sum_data
    ctypedef void (*vm_compiled)(char **base, const intptr_t *sizes, char **numbers, const call_t *calls, char *sums,
                                 intptr_t first, intptr_t last) noexcept nogil
    ctypedef struct vm_kernel:
        int n_axes, axis, n_instrs, n_windows, n_registers
        intptr_t *extent
        intptr_t rows, inner, points, chunk, n_chunks
        int order, n_sums
        vm_instr *instrs
        vm_window *windows
        char **constant
        intptr_t *home
        intptr_t *stride
        intptr_t *sizes
        char **numbers
        call_t *calls
    ctypedef struct vm_form:
        int op, nargs, item, kind
        vm_loop loop
        void *data
        intptr_t *steps
    ctypedef struct vm_limits:
        intptr_t step, low, high
    ctypedef struct vm_scalars:
        const int *code
        vm_form *forms
        const char *numbers
        intptr_t n_numbers
        int registers, rest
        vm_limits *indices
        double *expected
    ctypedef struct vm_repeat:
        int counter, n_turning
        intptr_t trips, first, by, rows, height
        int *turning
        vm_block *body
    ctypedef struct vm_choose:
        int n_bodies, kind
        int *n_turning
        int **turning
        vm_block **bodies
        vm_window which
        intptr_t known
    ctypedef struct vm_member:
        vm_kernel *kernel
        int number, first_window, first_sum
        intptr_t first, lag, before, behind
    ctypedef struct vm_ring:
        int slot, n_windows
        int *windows
        intptr_t pitch, low, high, gap_low, gap_high, nbytes, live, offset, size
    ctypedef struct vm_strips:
        int n, n_windows, n_sums, n_rings
        intptr_t height, low, high, lag, n_bands, ring_bytes
        intptr_t *bounds
        vm_member *members
        vm_ring *rings
    ctypedef struct vm_bounds:
        vm_window window
        int n_axes, wide
        intptr_t *extent
        intptr_t count, chunk
    ctypedef struct vm_step:
        int kind, number, slot
        intptr_t nbytes
        vm_kernel *kernel
        vm_scalars *scalars
        vm_repeat *repeat
        vm_choose *choose
        vm_strips *strips
        vm_bounds *bounds
    ctypedef struct frame_t:
        pass
    ctypedef struct vm_unit:
        int (*function)(const frame_t *frame) noexcept nogil
        intptr_t *sizes
        char **numbers
        call_t *calls
        const void **steps
    ctypedef struct vm_block:
        int n_steps
        vm_step *steps
    ctypedef struct vm_time:
        double seconds, runs
    ctypedef struct vm_work:
        char **slots
        char *scratch
        intptr_t scratch_bytes
        char *sums
        char *kept
        int threads
        intptr_t *turned
        double until_look, checked
        int stopped
        vm_time *times
        int (*call)(void *owner, int number) noexcept
        void *owner
        int failed_step, failed_window, failed_index
        intptr_t failed_value
    int vm_run(const vm_block *block, vm_work *work) nogil
    void vm_attach(vm_kernel *kernel, vm_compiled function)
    void vm_attach_step(vm_step *step, vm_unit *unit)
    vm_indexed vm_gather(int item, int wide)
    vm_indexed vm_scatter(int item, int wide)
    vm_indexed vm_scatter_add(char type, int wide)
    vm_loop vm_cast(char a, char b)
    vm_loop vm_copy(int item)
    vm_loop vm_copy_past(int item)
    vm_loop vm_select(int item)
    vm_rows_loop vm_copy_rows(int item)
    vm_rows_loop vm_add_rows(char a)
    int vm_integer_kind(char a)

# Kernels of our own where they beat NumPy's loops (benchmarks/RESULTS.md): always, and by instruction set.
OURS = {"add", "subtract", "multiply", "divide", "negative", "square", "sqrt", "reciprocal", "absolute", "select", "copy",
        "strong_multiply", "muladd", "mulsub", "negmuladd", "add3"}
FUNCTIONS = {"exp", "expm1", "log", "sin", "cos", "arctan"}
SUM = NUMBER  # bytes of a sum
NARROW = {"log1p", "log2", "log10", "tan", "tanh", "sinh", "cosh", "arcsin", "arccos", "power"}  # better without AVX-512


# What the interpreter of single numbers does itself, by name and dtypes; and what else it knows, by name.
DIRECT = {
    ("add", "ddd"): VM_ADDS, ("subtract", "ddd"): VM_SUBTRACTS, ("multiply", "ddd"): VM_MULTIPLIES, ("divide", "ddd"): VM_DIVIDES,
    ("strong_multiply", "ddd"): VM_STRONG, ("negative", "dd"): VM_NEGATES, ("square", "dd"): VM_SQUARES, ("sqrt", "dd"): VM_ROOTS,
    ("reciprocal", "dd"): VM_INVERTS, ("absolute", "dd"): VM_MODULUS, ("copy", "dd"): VM_COPIES, ("positive", "dd"): VM_COPIES,
    ("stop_gradient", "dd"): VM_COPIES, ("less", "dd?"): VM_LESS, ("less_equal", "dd?"): VM_LESS_EQUAL,
    ("greater", "dd?"): VM_GREATER, ("greater_equal", "dd?"): VM_GREATER_EQUAL, ("equal", "dd?"): VM_EQUAL,
    ("not_equal", "dd?"): VM_NOT_EQUAL, ("select", "?ddd"): VM_SELECTS, ("load", "d"): VM_LOADS, ("store", "d"): VM_STORES,
    ("accumulate", "d"): VM_ACCUMULATES,
}
SCALAR = {
    "load": VM_LOADS_ANY, "store": VM_STORES_ANY, "accumulate": VM_ACCUMULATES_ANY, "load_at": VM_LOADS_AT,
    "store_at": VM_STORES_AT, "accumulate_at": VM_ACCUMULATES_AT, "index": VM_INDEXES, "guard": VM_GUARDS, "pause": VM_PAUSES,
    "end": VM_ENDS,
}


ORDERS = {"any": VM_ANY_ORDER, "alternating": VM_ALTERNATING, "in order": VM_IN_ORDER, "deferred": VM_DEFERRED}
CHECKED = 1 << 15  # index numbers that a thread checks at a time: some 10 us


def better_functions():
    """Functions that are taken from our own kernels on this machine."""
    if not config.vector_functions:
        return ()
    return FUNCTIONS if isa() == "avx512" else FUNCTIONS | NARROW


class Measured(NamedTuple):
    """What the steps of a program took in one of its runs, on up to `threads` threads.

    `times` has a row (seconds, how often) for each step; a step that holds others includes them. Kernels that are run in strips
    have what the caller's thread did of them.
    """

    run: int
    threads: int
    times: np.ndarray


cdef class Memory:
    """Blocks of memory that live as long as this does."""

    cdef void *last

    cdef void *take(self, size_t nbytes) except NULL:
        """A block of zeros."""
        cdef void **block = <void **> calloc(nbytes + 16, 1)
        if block is NULL:
            raise MemoryError(f"no room for {nbytes} bytes of a program")
        block[0] = self.last  # a list, newest first; 16 bytes keep the alignment
        self.last = block
        return <char *> block + 16

    def __dealloc__(self):
        cdef void *block = self.last
        while block is not NULL:
            self.last = (<void **> block)[0]
            free(block)
            block = self.last


cdef class Program:
    """A tape made ready to run.

    Parameters
    ----------
    tape : Tape
    name : str
        What it computes, for the message of a MemoryError.

    Notes
    -----
    Immutable apart from its pool of workspaces: many threads may run one program, each in a workspace of its own. The pool holds
    at most as many as callers have been at work at the same time; a workspace whose run was interrupted is not used again.

    Attributes
    ----------
    steps : list
        All steps of the schedule, those inside of others included.
    idle : list
        Workspaces that nobody uses now.
    measured : Measured or None
        What the steps took. Runs 1, 2, 4, 8, .. take the clock at each step: what is shown is never old, and costs nothing.
    build : object or None
        What has its kernels compiled, see `build_after`.
    work, left : float
        That of one run, and what is left to be done until they are compiled; 0 if nobody counts.
    """

    cdef object __weakref__
    cdef readonly object schedule
    cdef readonly object tape
    cdef readonly object name
    cdef public object build
    cdef readonly double work, left
    cdef readonly set later  # slots to which copies go past the caches
    cdef readonly list lowered  # the kernels, in an order of their own
    cdef readonly dict kernel_of  # number of a step -> its kernel among these
    cdef list kernels  # their addresses
    cdef dict addresses  # number of a step -> that of its structure
    cdef readonly object measured
    cdef readonly list steps, idle
    cdef list inputs, results  # layouts of inputs; (slot, layout) of results
    cdef intptr_t runs
    cdef Memory memory
    cdef vm_block *block
    cdef intptr_t scratch, rings, sums, kept, most_turning
    cdef object result_bytes
    cdef bint calls

    def __init__(self, tape, name="a tape"):
        self.tape, self.name, self.memory = tape, name, Memory()
        self.schedule = schedule_of(tape)
        self.steps, self.idle, self.measured, self.runs = [], [], None, 0
        self.lowered, self.kernels, self.kernel_of, self.addresses = [], [], {}, {}
        self.scratch, self.rings, self.sums, self.kept, self.most_turning, self.calls = 64, 0, 0, 0, 1, False
        self.later = for_later(self.schedule)
        self.block = self._block(self.schedule.block)
        self.inputs = [layout_of(t.shape, t.strides, t.dtype) for t in self.schedule.inputs]
        types = self.schedule.outputs
        self.results = [(p.slot, layout_of(t.shape, t.strides, t.dtype)) for p, t in zip(self.schedule.results, types)]
        self.result_bytes = sum([t.nbytes for t in types])

    # ---- from the schedule to C --------------------------------------------------------------------------------------

    cdef vm_block *_block(self, block, by_rows=False) except NULL:
        cdef vm_block *made = <vm_block *> self.memory.take(sizeof(vm_block))
        made.n_steps = len(block.steps)
        made.steps = <vm_step *> self.memory.take(made.n_steps * sizeof(vm_step))
        cdef int k
        for k in range(made.n_steps):
            self._step(&made.steps[k], block.steps[k], by_rows)
        return made

    cdef int _step(self, vm_step *made, step, by_rows) except -1:
        made.number = len(self.steps)
        self.steps.append(step)
        self.addresses[made.number] = <intptr_t> made
        if isinstance(step, Kernel):
            self.kernel_of[made.number] = len(self.lowered)
            made.kind, made.kernel = VM_KERNEL, self._kernel(step, by_rows)
        elif isinstance(step, Scalars):
            made.kind, made.scalars = VM_SCALARS, self._scalars(step)
        elif isinstance(step, Fill):
            made.kind, made.slot, made.nbytes = VM_FILL, step.slot, step.nbytes
        elif isinstance(step, Bounds):
            made.kind, made.bounds = VM_BOUNDS, self._bounds(step)
        elif isinstance(step, Strips):
            made.kind, made.strips = VM_STRIPS, self._strips(step)
        elif isinstance(step, Repeat):
            made.kind, made.repeat = VM_REPEAT, self._repeat(step)
        elif isinstance(step, Choose):
            made.kind, made.choose = VM_CHOOSE, self._choose(step)
        else:
            made.kind, self.calls = VM_CALL, True
        return 0

    cdef vm_scalars *_scalars(self, step) except NULL:
        """The arrays of the step are those of the schedule, which lives as long."""
        cdef vm_scalars *made = <vm_scalars *> self.memory.take(sizeof(vm_scalars))
        made.code, made.numbers = <const int *> cnp.PyArray_DATA(step.code), <const char *> cnp.PyArray_DATA(step.numbers)
        made.n_numbers, made.registers, made.rest = step.numbers.nbytes, step.registers, step.count % VM_PAUSE
        made.forms = <vm_form *> self.memory.take(len(step.forms) * sizeof(vm_form))
        made.indices = <vm_limits *> self.memory.take(len(step.indices) * sizeof(vm_limits))
        made.expected = <double *> self.memory.take(len(step.guards) * sizeof(double))
        for k, form in enumerate(step.forms):
            self._form(&made.forms[k], form)
        for k, (by, low, high, _) in enumerate(step.indices):
            made.indices[k].step, made.indices[k].low, made.indices[k].high = by, low, high
        for k, (guard, _) in enumerate(step.guards):
            made.expected[k] = guard.attr
        return made

    cdef int _form(self, vm_form *made, form) except -1:
        chars = "".join([dtype.char for dtype in form.dtypes])
        item, op = form.dtypes[0].itemsize if chars else 0, form.name
        cdef vm_instr loop
        made.item, made.kind, made.nargs = item, vm_integer_kind(ord(chars[0])) if chars else -1, len(chars)
        made.op = DIRECT.get((op, chars), SCALAR.get(op, VM_APPLIES))
        for k, dtype in enumerate(form.dtypes):
            made.steps[k] = dtype.itemsize
        if made.op in (VM_ACCUMULATES_ANY, VM_ACCUMULATES_AT, VM_APPLIES):
            dtypes = list(form.dtypes) if made.op == VM_APPLIES else [form.dtypes[0]] * 3
            self._apply_loop(&loop, op if made.op == VM_APPLIES else "add", dtypes)
            made.loop, made.data = loop.loop, loop.data
        return 0

    cdef int *_pairs(self, turning) except NULL:
        cdef int *pairs = <int *> self.memory.take(2 * len(turning) * sizeof(int))
        for k, (a, b) in enumerate(turning):
            pairs[2 * k], pairs[2 * k + 1] = a, b
        self.most_turning = max(self.most_turning, len(turning))
        return pairs

    cdef vm_repeat *_repeat(self, step) except NULL:
        cdef vm_repeat *made = <vm_repeat *> self.memory.take(sizeof(vm_repeat))
        made.counter, made.trips = step.counter, step.trips
        made.first, made.by = step.first, step.by
        made.turning, made.n_turning = self._pairs(step.turning), len(step.turning)
        made.height = step.height
        made.rows = step.block.steps[0].space[0] if step.height else 0
        made.body = self._block(step.block, step.height > 0)
        return made

    cdef vm_choose *_choose(self, step) except NULL:
        cdef vm_choose *made = <vm_choose *> self.memory.take(sizeof(vm_choose))
        made.n_bodies = len(step.blocks)
        made.bodies = <vm_block **> self.memory.take(made.n_bodies * sizeof(vm_block *))
        made.turning = <int **> self.memory.take(made.n_bodies * sizeof(int *))
        made.n_turning = <int *> self.memory.take(made.n_bodies * sizeof(int))
        cdef int k
        for k in range(made.n_bodies):
            made.bodies[k] = self._block(step.blocks[k])
            made.turning[k], made.n_turning[k] = self._pairs(step.turning[k]), len(step.turning[k])
        if isinstance(step.which, tuple):
            self._window(&made.which, step.which[1], ())
            made.kind = vm_integer_kind(ord(step.which[1].dtype.char))
        else:
            made.which.slot, made.known = -1, int(step.which)
        return made

    cdef int _window(self, vm_window *made, access, strides) except -1:
        made.slot, made.offset = access.slot, access.offset
        for k, stride in enumerate(strides):
            made.stride[k] = stride
        made.n_index = len(access.moving)
        made.index = <vm_index *> self.memory.take(made.n_index * sizeof(vm_index))
        for k, index in enumerate(access.moving):
            made.index[k].slot, made.index[k].offset = index.slot, index.offset
            made.index[k].kind = vm_integer_kind(ord(index.dtype.char))
            made.index[k].step, made.index[k].low, made.index[k].high = index.step, index.low, index.high
        return 0

    cdef vm_bounds *_bounds(self, step) except NULL:
        cdef vm_bounds *made = <vm_bounds *> self.memory.take(sizeof(vm_bounds))
        space, access = step.operand
        extents, (strides,) = coalesced(space, [access.strides])
        if len(extents) > VM_AXES:
            raise NotImplementedError(f"index numbers with {len(extents)} axes that cannot be joined: at most {VM_AXES}")
        self._window(&made.window, access, strides)
        made.n_axes, made.wide, made.count = len(extents), access.dtype.itemsize == 8, step.extent
        for k, extent in enumerate(extents):
            made.extent[k] = extent
        made.chunk = max(CHECKED // max(prod(extents[1:]), 1), 1)
        return made

    cdef vm_strips *_strips(self, step) except NULL:
        cdef vm_strips *made = <vm_strips *> self.memory.take(sizeof(vm_strips))
        cdef vm_member *at
        cdef intptr_t begin, end
        made.n, made.height, made.n_bands = len(step.members), step.height, len(step.bounds) - 1
        made.bounds = <intptr_t *> self.memory.take(len(step.bounds) * sizeof(intptr_t))
        for k, bound in enumerate(step.bounds):
            made.bounds[k] = bound
        made.members = <vm_member *> self.memory.take(made.n * sizeof(vm_member))
        for k, member in enumerate(step.members):
            at = &made.members[k]
            at.number = len(self.steps)
            self.steps.append(member)
            at.kernel = self._kernel(member.kernel, True)
            at.first, at.lag, at.before, at.behind = member.first, member.lag, member.before, member.behind
            at.first_window, at.first_sum = made.n_windows, made.n_sums
            made.n_windows += at.kernel.n_windows
            made.n_sums += at.kernel.n_sums
            begin, end = at.first + at.lag, at.first + at.lag + at.kernel.extent[0]
            made.low = min(made.low, begin) if k else begin
            made.high = max(made.high, end) if k else end
            made.lag = max(made.lag, at.lag)
        self.sums = max(self.sums, (2 * made.n_bands - 1) * made.n_sums * NUMBER)
        made.n_rings = len(step.rings)
        made.rings = <vm_ring *> self.memory.take(made.n_rings * sizeof(vm_ring))
        for k, ring in enumerate(step.rings):
            self._ring(made, &made.rings[k], ring)
        self.rings = max(self.rings, made.ring_bytes)
        return made

    cdef int _ring(self, vm_strips *strips, vm_ring *made, ring) except -1:
        made.slot, made.nbytes = ring.slot, self.schedule.slots[ring.slot].nbytes
        made.pitch, made.low, made.high = ring.pitch, ring.low, ring.high
        made.gap_low, made.gap_high = ring.gap_low, ring.gap_high
        made.live = max(ring.high - ring.low - ring.pitch, 0)
        made.size = ring_bytes(ring, strips.height)
        strips.ring_bytes += _aligned(made.size)
        made.offset = strips.ring_bytes
        made.windows = <int *> self.memory.take(strips.n_windows * sizeof(int))
        cdef int k, m
        cdef vm_member *at
        for m in range(strips.n):
            at = &strips.members[m]
            for k in range(at.kernel.n_windows):
                if at.kernel.windows[k].slot == ring.slot:
                    made.windows[made.n_windows] = at.first_window + k
                    made.n_windows += 1
        return 0

    cdef vm_kernel *_kernel(self, kernel, by_rows=False) except NULL:
        low = lowered(kernel, by_rows)
        kernel = low.kernel
        if len(low.extents) > VM_AXES:
            raise NotImplementedError(f"a kernel over {len(low.extents)} axes that cannot be joined: at most {VM_AXES}")
        cdef vm_kernel *made = <vm_kernel *> self.memory.take(sizeof(vm_kernel))
        cdef int k, n = len(kernel.dtypes)
        made.n_axes, made.axis, made.rows, made.inner = len(low.extents), low.axis, low.rows, low.inner
        made.points = prod(low.extents)
        for k, extent in enumerate(low.extents):
            made.extent[k] = extent
        made.chunk, made.n_chunks = low.chunk, -(-low.extents[0] // low.chunk) if low.extents else 1
        if not made.points:
            made.n_chunks = 0
        made.order = ORDERS[low.order]
        self.scratch = max(self.scratch, low.scratch)
        made.n_registers = n
        made.constant = <char **> self.memory.take(n * sizeof(char *))
        made.home = <intptr_t *> self.memory.take(n * sizeof(intptr_t))
        made.stride = <intptr_t *> self.memory.take(n * sizeof(intptr_t))
        for k in range(n):
            made.home[k] = max(low.homes[k], 0)
            made.stride[k] = kernel.dtypes[k].itemsize
        for k, number in kernel.constants.items():
            made.constant[k], made.stride[k] = <char *> self._number(number), 0
        made.n_instrs = len(kernel.instrs)
        made.instrs = <vm_instr *> self.memory.take((2 * made.n_instrs) * sizeof(vm_instr))
        made.windows = <vm_window *> self.memory.take(made.n_instrs * sizeof(vm_window))
        self._instrs(made, kernel, low)
        self.lowered.append(low)
        self.kernels.append(<intptr_t> made)
        self.sums = max(self.sums, made.n_chunks * made.n_sums * NUMBER)
        if low.order == "deferred" and made.n_chunks > 1:
            self._put_off(made, kernel)
        return made

    cdef void *_number(self, number) except NULL:
        cdef cnp.ndarray array = asarray(number)
        cdef void *at = self.memory.take(max(array.dtype.itemsize, 16))
        memcpy(at, cnp.PyArray_DATA(array), array.dtype.itemsize)
        return at

    cdef int _instrs(self, vm_kernel *made, kernel, low) except -1:
        """Instructions; a register that is a window is aimed there before it is computed."""
        aims = {}
        for instr, direct, k in zip(kernel.instrs, low.direct, range(made.n_instrs)):
            if direct and instr.kind == "store":
                aims[instr.registers[0]] = k
        cdef int count = 0, k2
        cdef vm_instr *at
        for k, (instr, window, direct) in enumerate(zip(kernel.instrs, low.windows, low.direct)):
            if window is not None:
                self._window(&made.windows[k], window.access, window.strides)
                made.windows[k].step, made.windows[k].hop = window.step, window.hop
            made.n_windows += 1
            for r in instr.registers[instr.n_operands:] if instr.kind == "apply" else ():
                if r in aims:
                    at = &made.instrs[count]
                    at.kind, at.window, at.nargs = VM_AIM, aims[r], 1
                    at.args[0] = r
                    count += 1
            if instr.kind == "store" and direct:
                continue
            at = &made.instrs[count]
            count += 1
            at.window, at.nargs, at.bent = k, len(instr.registers), low.bent[k]
            if at.nargs > VM_ARGS:
                raise NotImplementedError(f"{instr.op} has more than {VM_ARGS} operands and results")
            for k2 in range(at.nargs):
                at.args[k2] = instr.registers[k2]
            self._loop_of(at, kernel, instr, direct)
            if instr.access is not None and instr.access.by is not None:
                self._index_of(at, kernel, instr)
            if at.kind == VM_ADD and kernel.space and not any(instr.access.strides):
                at.kind, at.number = VM_SUM, made.n_sums
                made.n_sums += 1
        made.n_instrs = count
        return 0

    cdef int _index_of(self, vm_instr *at, kernel, instr) except -1:
        index, item, wide = instr.access.by, instr.access.dtype.itemsize, kernel.dtypes[instr.registers[0]].itemsize == 8
        if instr.kind == "accumulate":
            at.indexed = vm_scatter_add(ord(instr.access.dtype.char), wide)
        else:
            at.indexed = vm_gather(item, wide) if instr.kind == "load" else vm_scatter(item, wide)
        at.kind, at.by, at.count, at.kept = VM_INDEXED, index.step, index.extent, put_off(instr)
        return 0

    cdef int _put_off(self, vm_kernel *made, kernel) except -1:
        """What the kernel writes by index is kept, for each point, until it is its turn."""
        cdef intptr_t nbytes = 0
        cdef int k
        cdef vm_instr *at
        for k in range(made.n_instrs):
            at = &made.instrs[k]
            if at.kept:
                number, value = [kernel.dtypes[at.args[a]].itemsize for a in range(2)]
                at.number_item, at.value_item = number, value
                at.keep_number, at.keep_value = vm_copy(number), vm_copy(value)
                at.kept_numbers = nbytes
                at.kept_values = at.kept_numbers + _aligned(made.points * at.number_item)
                nbytes = at.kept_values + _aligned(made.points * at.value_item)
        self.kept = max(self.kept, nbytes)
        return 0

    cdef int _loop_of(self, vm_instr *at, kernel, instr, direct) except -1:
        dtypes = [kernel.dtypes[r] for r in instr.registers]
        if instr.access is not None and instr.access.by is not None:
            dtypes = dtypes[1:]  # the first register has the numbers
        at.data = NULL
        if instr.kind == "load":
            at.kind = VM_SEE if direct else VM_FETCH
            self._apply_loop(at, "copy", dtypes)
            at.short_rows = vm_copy_rows(dtypes[0].itemsize)
        elif instr.kind == "store":
            at.kind = VM_STORE
            self._apply_loop(at, "copy", dtypes)
            at.short_rows = vm_copy_rows(dtypes[0].itemsize)
            if instr.access.slot in self.later:
                at.loop = vm_copy_past(dtypes[0].itemsize)
        elif instr.kind == "accumulate":
            at.kind = VM_ADD
            self._apply_loop(at, "add", [dtypes[0]] * 3)
            at.short_rows = vm_add_rows(ord(dtypes[0].char))
            self._sum_loop(at, dtypes[0])
        else:
            at.kind = VM_APPLY
            self._apply_loop(at, instr.op, dtypes)
        if at.loop is NULL:
            raise NotImplementedError(f"no inner loop for {instr.op or instr.kind} of {dtypes}")
        return 0

    cdef int _apply_loop(self, vm_instr *at, op, dtypes) except -1:
        cdef bytes name = op.encode()
        at.loop = NULL
        if op in OURS or op in better_functions():
            at.loop = <vm_loop> find_loop(name, ord(dtypes[1 if op == "select" else 0].char))
        if at.loop is not NULL:
            at.data = NULL
        elif op == "cast":
            at.loop = vm_cast(ord(dtypes[0].char), ord(dtypes[1].char))
            at.data = <void *> at if dtypes[1].char == "D" else NULL
        elif op in ("copy", "stop_gradient"):
            at.loop = vm_copy(dtypes[0].itemsize)
        elif op == "select":
            at.loop = vm_select(dtypes[1].itemsize)
        else:
            self._ufunc_loop(at, BY_NAME[op].elementwise.ufunc, dtypes)
        return 0

    cdef int _sum_loop(self, vm_instr *at, dtype) except -1:
        """NumPy's loop: the sum of an array that fits into a tile then has the bits of NumPy's."""
        cdef int index = loop_index(np.add, [dtype] * 3)
        at.sum = <vm_loop> (<PyUFuncObject *> np.add).functions[index]
        at.sum_data = (<PyUFuncObject *> np.add).data[index]
        return 0

    cdef int _ufunc_loop(self, vm_instr *at, ufunc, dtypes) except -1:
        cdef int index = loop_index(ufunc, dtypes)
        at.loop = <vm_loop> (<PyUFuncObject *> ufunc).functions[index]
        at.data = (<PyUFuncObject *> ufunc).data[index]
        return 0

    # ---- compiled code -----------------------------------------------------------------------------------------------

    def attach(self, int number, source, size_t address):
        """Let the function at `address`, which was made of ``source``, run kernel `number` of `lowered` from now on."""
        cdef vm_kernel *made = <vm_kernel *> <intptr_t> self.kernels[number]
        made.sizes = self._sizes(source.sizes)
        made.numbers = <char **> self.memory.take(len(source.numbers) * sizeof(char *))
        made.calls = <call_t *> self.memory.take(len(source.calls) * sizeof(call_t))
        for k, register in enumerate(source.numbers):
            made.numbers[k] = made.constant[<int> register]
        for k, which in enumerate(source.calls):
            self._callee(&made.calls[k], self.lowered[number].kernel, which)
        vm_attach(made, <vm_compiled> address)

    def attach_step(self, unit, size_t address):
        """Let the function at `address`, which was made of ``unit``, run the step ``unit.number`` from now on."""
        cdef vm_unit *made = <vm_unit *> self.memory.take(sizeof(vm_unit))
        made.function, made.sizes = <int (*)(const frame_t *) noexcept nogil> address, self._sizes(unit.sizes)
        made.numbers = <char **> self.memory.take(len(unit.numbers) * sizeof(char *))
        made.calls = <call_t *> self.memory.take(len(unit.calls) * sizeof(call_t))
        made.steps = <const void **> self.memory.take(len(unit.steps) * sizeof(void *))
        for k, (number, register) in enumerate(unit.numbers):
            if register < 0:
                made.numbers[k] = <char *> cnp.PyArray_DATA(self.steps[number].numbers)
            else:
                made.numbers[k] = (<vm_kernel *> <intptr_t> self.kernels[self.kernel_of[number]]).constant[<int> register]
        for k, (number, which) in enumerate(unit.calls):
            if number in self.kernel_of:
                self._callee(&made.calls[k], self.lowered[self.kernel_of[number]].kernel, which)
            else:
                self._form_callee(&made.calls[k], self.steps[number].forms[which])
        for k, number in enumerate(unit.steps):
            made.steps[k] = <const void *> <intptr_t> self.addresses[number]
        vm_attach_step(<vm_step *> <intptr_t> self.addresses[unit.number], made)

    cdef intptr_t *_sizes(self, sizes) except NULL:
        cdef intptr_t *made = <intptr_t *> self.memory.take(len(sizes) * sizeof(intptr_t))
        for k, size in enumerate(sizes):
            made[k] = size
        return made

    cdef int _callee(self, call_t *made, kernel, which) except -1:
        """The inner loop of an instruction."""
        cdef vm_instr loop
        loop.sum, loop.sum_data = NULL, NULL
        self._loop_of(&loop, kernel, kernel.instrs[which], False)
        made.loop, made.data, made.sum, made.sum_data = loop.loop, loop.data, loop.sum, loop.sum_data
        return 0

    cdef int _form_callee(self, call_t *made, form) except -1:
        cdef vm_instr loop
        self._apply_loop(&loop, form.name, list(form.dtypes))
        made.loop, made.data = loop.loop, loop.data
        return 0

    def build_after(self, double work, double most):
        """Call ``build.later(self)`` once, by the run that reaches `most`; each one is so much `work`."""
        self.work, self.left = work, most

    # ---- running -----------------------------------------------------------------------------------------------------

    def run(self, inputs, out=None):
        """Outputs for `inputs`, which are left alone; no output shares memory with an input or another output.

        `out` are arrays of the outputs' types that are written to, if all guards hold, instead of new ones.

        Raises
        ------
        GuardFailed
            The inputs lead down another path than the one that was traced.
        MemoryError
            There is not enough memory; nothing has been computed then.
        """
        workspace, outputs = self._room(out)
        self.runs += 1
        run = self.runs
        if self.left > 0:
            self.left -= self.work
            if self.left <= 0:
                self.build.later(self)
        times = zeros((len(self.steps), 2)) if run & (run - 1) == 0 else None
        try:
            (<Workspace> workspace).run(self, inputs, outputs, times)
        except GuardFailed:
            self.idle.append(workspace)
            raise
        self.idle.append(workspace)
        if times is not None:
            self.measured = Measured(run, (<Workspace> workspace).work.threads, times)
        return outputs

    def release(self):
        """Give back the memory of idle workspaces; the next run takes it anew."""
        self.idle.clear()

    cdef tuple _room(self, out):
        """A workspace that nobody else uses, and arrays for the results, `out` if given."""
        workspace, needed = self._idle(), self.result_bytes if out is None else 0
        if workspace is None:
            needed += self._workspace_bytes(get_num_threads())
        require(needed, self.name)
        try:
            workspace = workspace or Workspace(self)
            return workspace, [(<Layout> layout).blank() for _, layout in self.results] if out is None else out
        except MemoryError as error:
            raise MemoryError(f"{self.name} needs {amount(needed)}, which the system does not give") from error

    cdef object _idle(self):
        try:
            workspace = self.idle.pop()
        except IndexError:
            return None
        return workspace if (<Workspace> workspace).work.threads == get_num_threads() else None

    cdef intptr_t thread_bytes(self):
        """Scratch memory of a thread: registers of a tile, and rings at the end."""
        return _aligned(self.scratch) + self.rings

    cdef intptr_t kept_bytes(self, threads):
        """Memory for what kernels put off: one thread does it at once."""
        return self.kept if threads > 1 else 0

    cdef object _workspace_bytes(self, threads):
        return self.schedule.nbytes + threads * self.thread_bytes() + _aligned(self.sums) + self.kept_bytes(threads) + 64


cdef object _out_of_bounds(value, low, high, line):
    """The fault that an index of a window which moves is."""
    return raised_by(out_of_bounds(value, low, high, line), BY_NAME["load_at"])


cdef intptr_t _aligned(intptr_t nbytes):
    return (nbytes + 63) // 64 * 64


cdef cnp.ndarray _taken(value, Layout layout):
    """`value` itself if it is an aligned array of this layout, else a copy that is."""
    if isinstance(value, cnp.ndarray) and layout.fits(value) and cnp.PyArray_ISALIGNED(value):
        return value
    copy = layout.blank()
    copy[...] = value
    return copy


cdef class Workspace:
    """Memory in which one caller at a time runs a program."""

    cdef Program program
    cdef vm_work work
    cdef object memory, error
    cdef char **fixed
    cdef int n_slots

    def __init__(self, Program program):
        slots = program.schedule.slots
        self.n_slots = len(slots)
        self.fixed = <char **> calloc(self.n_slots + 1, sizeof(char *))
        self.work.slots = <char **> calloc(self.n_slots + 1, sizeof(char *))
        self.work.turned = <intptr_t *> calloc(program.most_turning, sizeof(intptr_t))
        if self.fixed is NULL or self.work.slots is NULL or self.work.turned is NULL:
            raise MemoryError("no room for a workspace")
        self.work.scratch_bytes, self.work.threads = program.thread_bytes(), get_num_threads()
        cdef intptr_t nbytes = self.work.threads * self.work.scratch_bytes + _aligned(program.sums)
        cdef intptr_t kept = program.kept_bytes(self.work.threads)
        self.memory = empty(program._workspace_bytes(self.work.threads), np.uint8)
        cdef char *base = <char *> cnp.PyArray_DATA(self.memory)
        base += 63 - (<intptr_t> base + 63) % 64  # C's remainder: of positive numbers only
        self.work.scratch = base
        self.work.sums = base + self.work.threads * self.work.scratch_bytes
        self.work.kept = base + nbytes if kept else NULL
        base += nbytes + kept
        cdef int k
        for k in range(self.n_slots):
            slot = slots[k]
            if slot.kind == "work" and slot.offset >= 0:
                self.fixed[k] = base + <intptr_t> slot.offset
            elif slot.kind == "constant":
                self.fixed[k] = <char *> cnp.PyArray_DATA(slot.array)
        LOG.info("workspace of %d bytes made, for up to %d threads", self.memory.nbytes, self.work.threads)
        self.work.call = call_back
        self.work.owner = <void *> self

    def __dealloc__(self):
        free(self.fixed)
        free(self.work.slots)
        free(self.work.turned)

    cdef int run(self, Program program, inputs, list outputs, times) except -1:
        """Run the program once, and add what its steps take to `times` if that is not None."""
        self.program = program  # not for longer: the program keeps its idle workspaces
        memcpy(self.work.slots, self.fixed, self.n_slots * sizeof(char *))
        cdef int k, status = DONE
        cdef list given = []
        for k in range(len(program.inputs)):
            array = _taken(inputs[k], program.inputs[k])
            given.append(array)
            self.work.slots[k] = <char *> cnp.PyArray_DATA(array)
        for (slot, _), array in zip(program.results, outputs):
            self.work.slots[<int> slot] = <char *> cnp.PyArray_DATA(array)
        self.work.times = NULL if times is None else <vm_time *> cnp.PyArray_DATA(times)
        self.work.until_look = self.work.checked = self.work.stopped = 0
        try:
            if program.calls:
                with errstate(all="ignore"):
                    status = self._go()
            else:
                status = self._go()
            if status != DONE:
                self._raise(status)
        finally:
            self.program = None
        return 0

    cdef int _go(self):
        cdef int status = DONE
        with nogil:
            status = vm_run(self.program.block, &self.work)
        return status

    def _raise(self, status):
        if status == RAISED:
            error, self.error = self.error, None
            raise error
        step = self.program.steps[self.work.failed_step]
        if isinstance(step, Scalars):
            _, low, high, line = step.indices[self.work.failed_index]
            raise _out_of_bounds(self.work.failed_value, low, high, line)
        if isinstance(step, Bounds):
            error = IndexError(f"index {self.work.failed_value} is out of bounds for axis 0 with size {step.extent}")
            raise raised_by(error, BY_NAME["gather"])
        if self.work.failed_index < 0:
            error = IndexError(f"a branch of {len(step.blocks)} bodies has no body {self.work.failed_value}")
            raise raised_by(error, BY_NAME["branch"])
        if isinstance(step, Choose):
            access = step.which[1]
        else:
            low = lowered(step.kernel, True) if isinstance(step, Member) else lowered(step)
            access = low.windows[self.work.failed_window].access
        index = access.moving[self.work.failed_index]
        raise _out_of_bounds(self.work.failed_value, index.low, index.high, access.line)

    # ---- steps that need Python --------------------------------------------------------------------------------------

    cdef int call(self, int number) except -1:
        if number < 0:
            return PyErr_CheckSignals()
        step = self.program.steps[number]
        if isinstance(step, Scalars):
            guard, dtype = step.guards[self.work.failed_index]
            guard.op.evaluate([self._array(step.registers, self.work.failed_value, (), (), dtype)], guard, ())
            return 0
        if isinstance(step, Guard):
            step.op.op.evaluate([self._argument(step.operand)], step.op, ())
            return 0
        arrays = [self._argument(argument) for argument in step.operands]
        if step.op.op.user:  # who may keep them
            arrays = [array.copy() if isinstance(array, np.ndarray) else array for array in arrays]
        places = [self._array(p.slot, p.offset, t.shape, t.strides, t.dtype) for p, t in zip(step.results, step.types)]
        try:
            if step.op.op.into is not None:
                step.op.op.into(arrays, step.op, step.types, places[0])
                return 0
            results = step.op.op.evaluate(arrays, step.op, step.types)
        except Exception as error:
            raise raised_by(error, step.op.op)
        for array, result in zip(places, results):
            if result is not arrays[0] or not step.op.op.consumes:
                array[...] = result
        return 0

    def _argument(self, argument):
        if not isinstance(argument, tuple):
            return argument
        shape, access = argument
        offset = access.offset
        for index in access.moving:
            value = int(self._array(index.slot, index.offset, (), (), index.dtype)[()])
            if not index.low <= value < index.high:
                raise _out_of_bounds(value, index.low, index.high, access.line)
            offset += value * index.step
        return self._array(access.slot, offset, shape, access.strides, access.dtype)

    cdef object _array(self, int slot, intptr_t offset, tuple shape, tuple strides, cnp.dtype dtype):
        return layout_of(shape, strides, dtype).at(self.work.slots[slot] + offset)


cdef int call_back(void *owner, int number) noexcept with gil:
    cdef Workspace workspace = <Workspace> owner
    try:
        workspace.call(number)
    except BaseException as error:
        workspace.error = error
        return -1
    return 0
