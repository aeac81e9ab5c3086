"""Kernels run strip by strip compute what kernels run one after the other do: the same bits, but for sums at ends of bands."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings

import sparsead
from engines import assert_bits, assert_close, both, on_threads
from loop_tapes import RandomBranches, RandomLoop
from sized_tapes import SizedTape
from sparsead.engine import reference, vm
from sparsead.schedule import groups, later, planner, strips
from sparsead.schedule.form import Repeat, Strips, inside
from sparsead.schedule.planner import schedule_of
from tapes import GROWING, RandomTape
from test_vm import DERIVED, exact, forward, random, reverse, seeds

everywhere = pytest.mark.parametrize(
    "small", [(1, 1 << 40, 1), (64, 1, 1), (200, 1, 4)], ids=["row by row", "narrow bands", "four trips"]
)


@contextlib.contextmanager
def put_together(small):
    """Small kernels are put together as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        for place, name, value in zip((groups, groups, strips), ("STRIP", "BAND_WORK", "TRIPS"), small, strict=True):
            patch.setattr(place, name, value)
        patch.setattr(groups, "BIG", 0)
        yield


def groups_of(tape):
    return [step for step in inside(*schedule_of(tape).block.steps) if isinstance(step, Strips)]


# ---- random tapes ----------------------------------------------------------------------------------------------------


@everywhere
@random()
@given(seeds)
def test_random_tapes(small, seed):
    with put_together(small):
        for names, law in ((GROWING, lambda tape: tape), (GROWING, forward), (GROWING, reverse)):
            tape = law(RandomTape(seed, names).tape)
            if all(tape.type(v).dtype == float for v in range(tape.n_values)):
                rng = np.random.default_rng(seed)
                assert_close(*both(tape, [rng.uniform(0.3, 0.9, tape.type(v).shape) for v in tape.inputs]), 1e-9)


@everywhere
@random(max_examples=2 * settings().max_examples)
@given(seeds)
def test_rough_numbers(small, seed):
    with put_together(small):
        made = SizedTape(seed, "rough")
        assert_bits(*both(made.tape, made.point()))


@everywhere
@pytest.mark.parametrize("law", DERIVED.values(), ids=DERIVED)
@random()
@given(seeds)
def test_derivatives_of_whole_numbers(small, law, seed):
    with put_together(small):
        made = SizedTape(seed, "whole")
        tape = law(made.tape)
        results, expected = both(tape, made.point(tape))
        if exact(expected):
            assert_bits(results, expected, signs=False)


@everywhere
@pytest.mark.parametrize("kind", [RandomLoop, RandomBranches])
@random()
@given(seeds)
def test_random_loops_and_branches(small, kind, seed):
    with put_together(small):
        tape = kind(seed).tape
        rng = np.random.default_rng(seed)
        for law in (lambda tape: tape, forward, reverse):
            made = law(tape)
            assert_close(*both(made, [rng.uniform(-1, 1, made.type(v).shape) for v in made.inputs]), 1e-9)


# ---- simulations -----------------------------------------------------------------------------------------------------


def burgers(u):
    new = np.empty_like(u)
    for _ in sparsead.steps(25):
        u[0] = u[-1] = new[0] = new[-1] = 0.0
        new[1:-1] = u[1:-1] + 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2]) - 0.1 * u[1:-1] * (u[2:] - u[:-2])
        u, new = new, u
    return u @ u


def heat(u):
    flux_x, flux_y = np.zeros((40, 36)), np.zeros((39, 37))
    for _ in range(5):
        flux_x[...] = (1 + u[:, 1:] ** 2) * (u[:, 1:] - u[:, :-1])
        flux_y[...] = u[1:] - u[:-1]
        u[:, 1:-1] += 0.1 * (flux_x[:, 1:] - flux_x[:, :-1])
        u[1:-1] += 0.1 * (flux_y[1:] - flux_y[:-1])
        u[0], u[-1] = u[1], u[-2]
        u[:, 0] = 0.5
    return np.sum(u**2)


def wave(u):
    """Leapfrog in a loop, walls that reflect, a row that is driven, and a sum that is kept of each step."""
    old, energy = u.copy(), np.zeros(12)
    for k in sparsead.steps(12):
        new = np.zeros_like(u)
        new[1:-1, 1:-1] = (
            2 * u[1:-1, 1:-1] - old[1:-1, 1:-1]
            + 0.2 * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1])
        )  # fmt: skip
        new[0], new[:, -1] = new[1], new[:, -2]
        new[5] += 0.01 * u[6]
        energy[k] = np.sum((new - u) ** 2)
        old, u = u, new
    return np.sum(energy * np.arange(1, 13)) + np.sum(u[3])


def sweeps(u):
    """Each row needs all of the others: such kernels can't be put together with a small lag."""
    total = np.zeros_like(u)
    for _ in range(3):
        total += u[::-1]
        u[...] = np.sin(u + 0.5 * total)
        u += np.roll(u, 3, axis=0)
    return np.sum(u * total)


def mixed(u):
    """Columns against rows, a reduction in between, rows of other lengths."""
    v = u * 2
    w = v[:, ::2] + np.mean(u, axis=0)[::2]
    v[:, 3] = w[:, 1]
    v[7, :] = v[:, 3][:37] * 0.5
    u += v * np.sum(w)
    u[1:] *= u[:-1] + 1.5
    return np.sum(u**2)


SIMULATIONS = {
    "burgers": (burgers, (60,)), "heat": (heat, (40, 37)), "wave": (wave, (30, 20)), "sweeps": (sweeps, (24, 5)),
    "mixed": (mixed, (40, 37)),
}  # fmt: skip


def simulation(name):
    """(the array that it begins with, what value_and_grad has prepared for it)."""
    function, shape = SIMULATIONS[name]
    u = np.random.default_rng(8).uniform(0.2, 0.9, shape)
    return u, sparsead.value_and_grad(function).prepare(u.copy()).prepared


@everywhere
@pytest.mark.parametrize("name", SIMULATIONS)
def test_simulations(small, name):
    with put_together(small):
        u, prepared = simulation(name)
        for tape in (prepared.tape, prepared.tangent_tape, prepared.adjoint_tape):
            assert groups_of(tape), "nothing was put together"
            rng = np.random.default_rng(9)
            inputs = [u if tape.type(v).shape == u.shape else rng.uniform(0.5, 1, tape.type(v).shape) for v in tape.inputs]
            assert_close(*both(tape, inputs), 1e-13)


@everywhere
@pytest.mark.parametrize("name", SIMULATIONS)
def test_the_same_bits_for_any_number_of_threads(small, name):
    with put_together(small):
        u, prepared = simulation(name)
        program = vm.Program(prepared.adjoint_tape)
        results = [on_threads(n, program.run, [u, np.array(1.0)]) for n in (1, 2, 3) for _ in range(5)]
        for other in results[1:]:
            assert_bits(other, results[0])


# ---- what is put together --------------------------------------------------------------------------------------------


def prepared_adjoint(function, u):
    return sparsead.value_and_grad(function).prepare(u).prepared.adjoint_tape


def test_several_trips_in_one():
    """Large arrays in a loop: four trips at a time, and those that are left; the loop's number moves the log."""
    tape = prepared_adjoint(burgers, np.linspace(0, 1, 100_000))
    loops = [step for step in inside(*schedule_of(tape).block.steps) if isinstance(step, Repeat)]
    assert sorted((loop.trips, loop.by) for loop in loops) == [(2, -8), (2, 8), (6, -1), (6, 1)]
    u = np.random.default_rng(1).uniform(0, 1, 100_000)
    assert_close(*both(tape, [u, np.array(1.0)]), 1e-13)


def test_small_arrays_are_left_alone():
    assert not groups_of(prepared_adjoint(burgers, np.linspace(0, 1, 1000)))
    assert not groups_of(prepared_adjoint(heat, np.linspace(0, 1, 40 * 37).reshape(40, 37)))


def test_rows_that_wrap_around_are_not_put_together(monkeypatch):
    """The last row needs the first: a strip would have to stay all rows behind."""
    monkeypatch.setattr(groups, "LAGGING", 1 << 16)

    def periodic(u):
        for _ in range(4):
            u[1:-1] += 0.1 * (u[2:] - u[:-2])
            u[0], u[-1] = u[-2], u[1]
        return np.sum(u**2)

    tape = sparsead.value_and_grad(periodic).prepare(np.linspace(0, 1, 300_000)).prepared.tape
    assert all(max(m.lag for m in group.members) < 1 << 13 for group in groups_of(tape))
    u = np.random.default_rng(2).uniform(0, 1, 300_000)
    assert_close(*both(tape, [u]), 1e-13)


def test_bands_of_large_arrays(monkeypatch):
    """Bands wait for their neighbours: many rows, and thin ones, on several threads."""
    monkeypatch.setattr(groups, "BAND_WORK", 100_000)

    def smooth(u):
        for _ in range(6):
            u[2:-2] = 0.2 * (u[4:] + u[3:-1] + u[2:-2] + u[1:-3] + u[:-4])
            u[1:] += 0.1 * u[:-1]
        return np.sum(u * u)

    u = np.random.default_rng(3).uniform(0, 1, (150_000, 2))
    tape = prepared_adjoint(smooth, u.copy())
    assert any(len(group.bounds) > 8 for group in groups_of(tape))
    results = vm.Program(tape).run([u, np.array(1.0)])
    assert_close(results, reference.Program(tape).run([u, np.array(1.0)]), 1e-13)


def test_stores_in_place(monkeypatch):
    """Sums that grow from kernel to kernel stay in one slot, and have the same bits as in slots of their own."""

    def loss(u):
        kappa = u.copy()
        along = kappa[1:] + kappa[:-1]
        for _ in range(4):
            flux = along * (u[1:] - u[:-1])
            u[1:-1] += flux[1:] - flux[:-1]
        return np.sum(u**2)

    u = np.random.default_rng(4).uniform(0.2, 0.9, (40, 37))
    tape = prepared_adjoint(loss, u.copy())
    results, fewer = vm.Program(tape).run([u, np.array(1.0)]), vm.Program(tape).schedule.nbytes
    monkeypatch.setattr(planner, "reuse", lambda *arguments: None)
    assert_bits(vm.Program(tape).run([u, np.array(1.0)]), results)
    assert fewer < vm.Program(tape).schedule.nbytes


def test_no_store_in_place_of_what_is_read_elsewhere():
    """The new version is written row by row where another row of the old one is still to be read."""

    def shifted(u):
        v = u * u
        w = v[::-1] + 1.0
        w[1:] += v[1:]
        return np.sum(w[1:] * w[:-1] * v[:-1])

    u = np.random.default_rng(5).uniform(0.2, 0.9, (50, 3))
    tape = prepared_adjoint(shifted, u)
    assert_close(*both(tape, [u, np.array(1.0)]), 1e-15)


def test_logs_go_past_the_caches(monkeypatch):
    """What a loop writes down, and another reads long after that at several points; not what the next trip reads."""
    monkeypatch.setattr(later, "CACHES", 0)
    monkeypatch.setattr(later, "LARGE", 1)

    def loss(u):
        new = np.zeros_like(u)
        for _ in sparsead.steps(50):
            new[1:-1] = u[1:-1] * (u[2:] - u[:-2])
            u, new = new, u
        return u @ u

    schedule = schedule_of(prepared_adjoint(loss, np.linspace(0, 1, 40)))
    found = later.for_later(schedule)
    assert max(range(len(schedule.slots)), key=lambda slot: schedule.slots[slot].nbytes) in found
    carries = {slot for step in schedule.block.steps if isinstance(step, Repeat) for pair in step.turning for slot in pair}
    assert carries and not carries & found
