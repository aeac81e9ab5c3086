"""Random programs that write into their arguments, with random activities, against the one formula of shadows.

With J the Jacobian of (memory after, return) by (memory before, active numbers), taken by complex steps of plain NumPy:
forward, shadows become J v; in reverse they become J^T w, where w joins the shadows on entry and the seed of the return.

``SPARSEAD_TEST_EXAMPLES=1700 pytest tests/test_autodiff_random.py -n auto`` runs more than ten thousand programs. One alone:
``pytest tests/test_autodiff_random.py -k 'seeds_of_12'`` runs the tens from 120 to 129.
"""

from collections import Counter

import numpy as np
import pytest
from hypothesis import settings

import shadow_programs
from shadow_programs import ARRAYS, NUMBERS, mentions, names_of
from sparsead import (
    Active,
    ActivityError,
    BatchDuplicated,
    Const,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    Reverse,
    ReverseSplitNoPrimal,
    ReverseSplitWithPrimal,
    ReverseWithPrimal,
    autodiff,
    autodiff_thunk,
)

TENS = 6 * settings().max_examples // 10


class Call:
    """One call of a program: its arguments with their shadows, and what the formula says of it."""

    def __init__(self, program, f, turn, engine, scratch):
        self.program, self.f, self.engine = program, f, engine
        self.memory, self.scalars, self.k = program.numbers(turn)
        self.rng = np.random.default_rng([program.seed, 7, turn])
        self.jacobian, self.violated = program.jacobian(self.memory, self.scalars, self.k, scratch)
        self.after, self.value, self.scratch, _ = program.run(self.memory, self.scalars, self.k, scratch=scratch)
        self.lanes = range(program.width)
        self.entry = [{r: self.rng.normal(size=program.lengths[r]) for r in program.roots} for _ in self.lanes]
        self.shadows = [{r: x.copy() for r, x in entry.items()} for entry in self.entry]
        self.tangents = [{n: float(self.rng.normal()) for n in program.actives} for _ in self.lanes]
        self.primals = program.views(self.memory)
        self.views = [program.views(shadow) for shadow in self.shadows]
        self.with_primal = self.rng.random() < 0.5
        self.options = {"engine": engine, **({"hidden": program.hidden} if program.hidden else {})}

    def arguments(self):
        arrays = [self.annotated(self.primals[n], [v[n] for v in self.views]) for n in ARRAYS]
        return [*arrays, *(self.number(n) for n in NUMBERS), Const(self.k)]

    def annotated(self, x, lanes):
        if lanes[0] is None:
            return Const(x)
        return Duplicated(x, lanes[0]) if len(lanes) == 1 else BatchDuplicated(x, tuple(lanes))

    def number(self, name):
        x = self.scalars[name]
        if name not in self.program.actives:
            return Const(x)
        return self.annotated(x, [t[name] for t in self.tangents]) if self.program.mode == "forward" else Active(x)

    def of_lanes(self, result):
        """What a call gives for each lane, as a list."""
        assert len(self.lanes) == 1 or (isinstance(result, tuple) and len(result) == len(self.lanes))
        return [result] if len(self.lanes) == 1 else list(result)

    def return_activity(self):
        """A derivative of the return is asked for where there is one, most of the time."""
        kind, p = self.program.returned[0], self.program
        named = self.program.returned[1] if kind == "argument" else self.program.returned[1][1] if kind == "part" else None
        if kind == "nothing" or (named and p.places[named][0] in p.const) or self.rng.random() < 0.2:
            return Const
        if p.mode == "forward":
            return Duplicated
        if np.ndim(self.value) == 0:
            return Active
        return Duplicated if p.mode == "split" else Const

    def entered(self, lane):
        parts = [self.entry[lane][r] for r in self.program.roots]
        return np.concatenate([*parts, [self.tangents[lane][n] for n in self.program.actives]])

    def adjoint(self, lane, seed):
        """J^T applied to the shadows on entry and the seed of the return, split into roots and numbers."""
        rows = len(self.jacobian) - (0 if self.value is None else np.size(self.value))
        seeds = np.zeros(len(self.jacobian) - rows) if seed is None else np.ravel(seed)
        shadows = np.concatenate([self.entry[lane][r] for r in self.program.roots] or [np.zeros(0)])
        return self.parts(self.jacobian.T @ np.concatenate([shadows, seeds]))

    def parts(self, vector):
        """The parts of a vector: memory of each root, then the rest."""
        found, at = {}, 0
        for r in self.program.roots:
            found[r] = vector[at : at + self.program.lengths[r]]
            at += self.program.lengths[r]
        return found, vector[at:]

    def check_memory(self, scratch):
        """All of the callers' memory is what plain NumPy leaves, to the bit."""
        for r, x in self.after.items():
            np.testing.assert_array_equal(self.memory[r], x)
        np.testing.assert_array_equal(scratch, self.scratch)

    def check_value(self, value):
        if not self.with_primal or self.value is None:
            assert value is None
        elif self.program.returned[0] == "argument":
            assert value is self.primals[self.program.returned[1]]
        else:
            close(value, self.value)

    def check_shadows(self, lane, expected):
        for r in self.program.roots:
            close(self.shadows[lane][r], expected[r])

    def owner(self, lane):
        """The shadow of what is returned, if that is an argument."""
        kind, *of = self.program.returned
        return self.views[lane][of[0]] if kind == "argument" else None


def close(value, expected):
    expected = np.asarray(expected)
    assert np.shape(value) == expected.shape
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-11 * scale)


def forward(call, returns):
    mode = ForwardWithPrimal if call.with_primal else Forward
    result = autodiff(mode, call.f, returns, *call.arguments(), **call.options)
    assert len(result) == (returns is Duplicated) + call.with_primal
    call.check_value(result[-1] if call.with_primal else None)
    tangents = call.of_lanes(result[0]) if returns is Duplicated else [None] * len(call.lanes)
    for lane, tangent in zip(call.lanes, tangents, strict=True):
        memory, of_return = call.parts(call.jacobian @ call.entered(lane))
        call.check_shadows(lane, memory)
        if returns is Duplicated:
            close(np.ravel(tangent), of_return)
            assert np.shape(tangent) == np.shape(call.value)
            assert call.owner(lane) is None or tangent is call.owner(lane)


def reverse(call, returns):
    mode = ReverseWithPrimal if call.with_primal else Reverse
    result = autodiff(mode, call.f, returns, *call.arguments(), **call.options)
    assert len(result) == 1 + call.with_primal
    call.check_value(result[1] if call.with_primal else None)
    check_adjoints(call, result[0], [1.0 if returns is Active else None for _ in call.lanes])


def split(call, returns):
    mode, args = ReverseSplitWithPrimal if call.with_primal else ReverseSplitNoPrimal, call.arguments()
    first, second = autodiff_thunk(mode, call.f, returns, *args, **call.options)
    tape, value, shadows = first(*args)
    call.check_value(value)
    for r, x in call.after.items():
        np.testing.assert_array_equal(call.memory[r], x)
    seeds = [call.rng.normal(size=np.shape(call.value)) if returns is not Const else None for _ in call.lanes]
    if returns is Duplicated:
        for lane, shadow in zip(call.lanes, call.of_lanes(shadows), strict=True):
            place_seed(call, lane, shadow, seeds[lane])
    else:
        assert shadows is None
    for x in call.memory.values():
        x[:] = 99  # what a caller may do in between
    given = [float(s) for s in seeds] if returns is Active else []
    (derivatives,) = second(*args, *([tuple(given) if len(given) > 1 else given[0]] if given else []), tape)
    check_adjoints(call, derivatives, seeds)
    for r, x in call.after.items():
        call.memory[r][:] = x


def place_seed(call, lane, shadow, seed):
    kind = call.program.returned[0]
    assert shadow.shape == np.shape(call.value)
    if kind == "argument":
        assert shadow is call.owner(lane)
    elif kind == "part":
        name = call.program.returned[1][1]
        assert np.shares_memory(shadow, call.views[lane][name])
    else:
        np.testing.assert_array_equal(shadow, 0)
    shadow += seed


def check_adjoints(call, derivatives, seeds):
    assert type(derivatives) is tuple and len(derivatives) == len(ARRAYS) + len(NUMBERS) + 1
    found = dict(zip([*ARRAYS, *NUMBERS, "k"], derivatives, strict=True))
    assert all(d is None for n, d in found.items() if n not in call.program.actives)
    numbers = {n: call.of_lanes(found[n]) for n in call.program.actives}
    for lane in call.lanes:
        memory, of_numbers = call.adjoint(lane, seeds[lane])
        call.check_shadows(lane, memory)
        close([numbers[n][lane] for n in call.program.actives], of_numbers)


MODES = {"forward": forward, "reverse": reverse, "split": split}


def refuses(call, returns):
    """An active value is stored where nothing is to be active: an error that names it, and untouched shadows."""
    with pytest.raises(ActivityError) as raised:
        MODES[call.program.mode](call, returns)
    assert mentions(str(raised.value), names_of(call.program, call.program.const))
    for lane in call.lanes:
        for r in call.program.roots:
            np.testing.assert_array_equal(call.shadows[lane][r], call.entry[lane][r])


def check(program, engine):
    """Two calls of one function, the second with other numbers and perhaps other branches."""
    parameter, scratch = program.captured()
    f, done = program.function(parameter, scratch), set()
    for turn in (0, 1):
        call = Call(program, f, turn, engine, scratch.copy())
        refused = program.violating and program.hidden is None
        assert program.violating or not call.violated
        if refused and not call.violated:
            continue  # a branch not taken
        returns = call.return_activity()
        if refused:
            refuses(call, returns)
        else:
            MODES[program.mode](call, returns)
            call.check_memory(scratch)
        done |= {"refused" if refused else "checked", f"{program.mode} {returns.__name__}"}
    return done


@pytest.mark.parametrize("ten", range(TENS), ids=[f"seeds_of_{k}" for k in range(TENS)])
def test_random_programs(ten):
    for seed in range(10 * ten, 10 * ten + 10):
        program = shadow_programs.program(seed)
        try:
            check(program, "reference" if seed % 2 else "vm")
        except BaseException as error:
            error.add_note(repr(program))
            raise


def features(program):
    arguments = {a for a in program.places.values()}
    return program.features | {
        f"{program.mode}, {'one lane' if program.width == 1 else 'lanes'}",
        f"refused={program.violating and program.hidden is None}",
        f"hidden={program.hidden}",
        "one array twice" if len(arguments) < len(ARRAYS) else f"{len(program.lengths)} roots",
        "a number without derivative" if len(program.actives) < len(NUMBERS) else "all numbers active",
    }


def test_the_programs_contain_what_they_are_meant_to():
    """In many programs; and most change the derivatives that enter."""
    programs, counts, moved = [shadow_programs.program(seed) for seed in range(200)], Counter(), 0
    for p in programs:
        counts.update(features(p))
        jacobian, _ = p.jacobian(*p.numbers(0))
        moved += not np.array_equal(jacobian[: jacobian.shape[1]], np.eye(*jacobian.shape)[: jacobian.shape[1]])
    common = """set_part add_to_part scale_part update_whole ufunc_out shift put bind copy zeros read branch|reversed view|scratch
        |store without derivative|return nothing|return sum|return dot|return argument|return part|return fresh|forward, one lane
        |forward, lanes|reverse, one lane|reverse, lanes|split, one lane|split, lanes|refused=True|hidden=shadow|hidden=detach
        |one array twice|2 roots|3 roots|a number without derivative"""
    wanted = [w.strip() for group in common.split("|") for w in (group.split() if "set_part" in group else [group])]
    assert not {w: counts[w] for w in wanted if counts[w] < 4}
    assert moved > 150
