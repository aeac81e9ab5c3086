"""The kernels of a program, compiled: at once, or behind the back of calls when the work pays for it.

Law: what is computed does not depend on when that happens, nor on whether it succeeds: compiled kernels give the bits of the
tiled engine (``fast=True`` says that others will do). What cannot be built is said once, and the tiled engine goes on.
"""

from __future__ import annotations

import os
import time
import weakref

from sparsead import config
from sparsead.decisions import LOG, warn_once
from sparsead.engine.native import background
from sparsead.engine.native.compiler import BuildError, is_stopped
from sparsead.engine.native.library import library
from sparsead.engine.native.module import module_of
from sparsead.schedule.work import work_of

TEXT = 20_000  # characters that ``config.build_after`` pays for: compilers take some 15 us for each

_waiting: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # program -> its Build, until that is done


class Build:
    """What was made of the kernels of a program, or is to be.

    Attributes
    ----------
    fast : bool
    state : {"waiting", "under way", "done", "nothing", "failed"}
        "nothing": no kernel of the program can be compiled.
    message : str
        What the compiler said, if it failed.
    library : Library or None
    kernels, functions : int
        How many kernels are compiled, and how many functions there are.
    steps : list of int
        Loops and runs of numbers that are compiled, by their number in ``program.steps``.
    left : list of int
        Kernels that stay with the tiled engine, by their number in ``program.lowered``.
    seconds : float
        All that it took, from the schedule on.
    paid : float
        Work that the program has done for it.
    """

    def __init__(self, fast=False, paid=float("inf")):
        self.fast, self.paid, self.state, self.message, self.library = fast, paid, "waiting", "", None
        self.kernels, self.functions, self.steps, self.left, self.seconds = 0, 0, [], [], 0.0
        self._module = None  # printed, and not paid for yet

    def now(self, program):
        """Compile the kernels of `program` and let it use them."""
        begin = time.perf_counter()
        self.state = "under way"
        try:
            self._make(program)
            LOG.info("%s: %s", program.name, self)
        except BuildError as error:
            self._failed(str(error))
        except BaseException as error:
            self.state, self.message = "failed", f"{type(error).__name__}: {error}"
            raise
        finally:
            self.seconds = time.perf_counter() - begin
            if self.state != "waiting":
                _waiting.pop(program, None)

    def later(self, program):
        """The same in the background, if the program lives until then."""
        self.state = "under way"
        try:
            background.submit(_Task(self, weakref.ref(program)))
        except RuntimeError as error:  # there is no room for a thread, or the process ends
            self.state, self.message = "failed", str(error)

    def _make(self, program):
        module = self._module = self._module or module_of(program)
        more = config.build_after * len(module.text) / TEXT - self.paid
        if more > 0:
            self.state, self.paid = "waiting", self.paid + more
            program.build_after(program.work, more)
            return
        self._module = None
        names = list(dict.fromkeys(filter(None, [*module.names, *(name for name, _ in module.units)])))
        self.left = [k for k, source in enumerate(module.sources) if source is None]
        if not names:
            self.state = "nothing"
            return
        self.library = library(module.text, self.fast)
        addresses = self.library.functions(names)
        for k, (source, name) in enumerate(zip(module.sources, module.names, strict=True)):
            if name is not None:
                program.attach(k, source, addresses[name])
        for name, unit in module.units:
            program.attach_step(unit, addresses[name])
        self.kernels, self.steps = len(module.sources) - len(self.left), [unit.number for _, unit in module.units]
        self.functions, self.state = len(names), "done"

    def _failed(self, message):
        self.state, self.message = "failed", message
        if is_stopped():
            return
        first = message.splitlines()[:3]
        warn_once("\n".join(["kernels are not compiled, the tiled engine runs them (.report() has all of this):", *first]))

    def __str__(self):
        """In one line."""
        if self.state == "done":
            how, of = "fast" if self.fast else "IEEE", self.kernels + len(self.left)
            other = f" and {len(self.steps)} other step{'s' * (len(self.steps) > 1)}" if self.steps else ""
            return f"{self.kernels} of {of} kernels{other} are {self.functions} compiled functions ({how}), {self.library}"
        return {"waiting": "not compiled yet", "under way": "being compiled", "nothing": "there is nothing to compile",
                "failed": f"not compiled: {self.message.partition(chr(10))[0]}"}[self.state]  # fmt: skip


class _Task:
    """A build that is to be done, which keeps no program alive."""

    def __init__(self, build, program):
        self.build, self.program = build, program

    def __call__(self):
        program = self.program()
        if program is not None:
            self.build.now(program)


def build_now(program, fast=False):
    """Compile the kernels of a program of the tiled engine, and let it use them; it goes on as it is if that fails."""
    program.build = Build(fast)
    program.build.now(program)


def build_later(program, fast=False):
    """The same in the background, when the program has done about as much work as a compiler will have to do.

    What is built so late costs at most twice what the better choice would have cost, however often the program will be run.
    """
    if config.build_after < float("inf"):
        program.build = Build(fast, config.build_after)
        _arm(program)


def _arm(program):
    program.build.state = "waiting"
    _waiting[program] = program.build
    program.build_after(work_of(program.schedule.block), program.build.paid)


def _forget():
    """In the child of a fork nothing is under way: it may begin anew."""
    for program in list(_waiting):
        _arm(program)


os.register_at_fork(after_in_child=_forget)

__all__ = ["Build", "build_later", "build_now"]
