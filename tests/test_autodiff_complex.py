"""Complex numbers with activities: conventions, holomorphic functions, shadows of all kinds, refusals."""

import numpy as np
import pytest

from complex_programs import N, Whole, directions, inner, random_program, run
from sparsead import (
    Active,
    ActivityError,
    BatchDuplicated,
    Const,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    MixedDuplicated,
    Ref,
    Reverse,
    ReverseHolomorphic,
    ReverseHolomorphicWithPrimal,
    ReverseSplitWithPrimal,
    ReverseWithPrimal,
    autodiff,
    autodiff_thunk,
    hvp_and_gradient,
    make_zero,
    make_zero_inplace,
    onehot,
    stop_gradient,
)
from worked_functions import same

Z = 3.1 + 2.7j
square = lambda z: z * z


def c(*numbers):
    return np.array(numbers, complex)


# ---- conventions


@pytest.mark.parametrize(("seed", "bar", "dot"), [(1, 6.2 - 5.4j, 6.2 + 5.4j), (1j, 5.4 + 6.2j, -5.4 + 6.2j)])
def test_seeds(seed, bar, dot):
    forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, square, Active, Active)
    tape, value, _ = forward(Active(Z))
    same(value, Z * Z)
    same(reverse(Active(Z), seed, tape), ((bar,),))
    same(autodiff(ForwardWithPrimal, square, Duplicated, Duplicated(Z, complex(seed))), (dot, Z * Z))
    out, dout, dz = c(0), c(seed), c(0)

    def store(out, z):
        out[:] = z * z

    same(autodiff(Reverse, store, Const, Duplicated(out, dout), Active(Z)), ((None, bar),))
    same(dout, c(0))
    autodiff(Forward, store, Const, Duplicated(out, dout), Duplicated(c(Z), c(seed)))
    same(dout, c(dot))
    assert dz == 0


def test_stores_consume_shadows():
    def f(z, x):
        z[0] = x[1] * 1j  # a real number enters: its adjoint is a real part
        x[0] = z[1].imag

    z, x, dz, dx = c(1, 2 + 3j), np.array([4.0, 5.0]), c(10 + 20j, 1), np.array([7.0, 8.0])
    autodiff(Reverse, f, Const, Duplicated(z, dz), Duplicated(x, dx))
    same((z, x), (c(5j, 2 + 3j), np.array([3.0, 5.0])))
    same((dz, dx), (c(0, 1 + 7j), np.array([0.0, 28.0])))


def test_casts_pass_the_real_part():
    def f(z, x):
        z[:] = x

    z, x, dz, dx = c(1, 2), np.array([4.0, 5.0]), c(10 + 20j, 1j), np.array([7.0, 8.0])
    autodiff(Reverse, f, Const, Duplicated(z, dz), Duplicated(x, dx))
    same((dz, dx), (c(0, 0), np.array([17.0, 8.0])))
    autodiff(Forward, f, Const, Duplicated(z, dz), Duplicated(x, dx))
    same(dz, c(17, 8))


# ---- holomorphic functions


def test_holomorphic_results():
    same(autodiff(ReverseHolomorphicWithPrimal, lambda z, n: z**n, Active, Active(Z), Const(3)), ((3 * Z**2, None), Z**3))
    same(autodiff(ReverseHolomorphic, lambda z, w: np.exp(z) / w, Active, Active(1j), Active(2 + 1j)),
         ((np.exp(1j) / (2 + 1j), -np.exp(1j) / (2 + 1j) ** 2),))  # fmt: skip


def test_holomorphic_derivatives_are_added_to_shadows():
    z, dz = c(1 + 2j, 3 - 1j), c(10 - 5j, 20j)
    f = lambda z: z[0] * z[1] ** 2
    same(autodiff(ReverseHolomorphicWithPrimal, f, Active, Duplicated(z, dz)), ((None,), f(z)))
    same(dz, c(10 - 5j + z[1] ** 2, 20j + 2 * z[0] * z[1]))


def test_holomorphic_functions_write():
    def f(out, z):
        out[:] = z * 1j
        return out[0] * z[1]

    out, dout, z, dz = c(0, 0), c(2, 3j), c(1 + 1j, 2), c(0, 0)
    autodiff(ReverseHolomorphic, f, Active, Duplicated(out, dout), Duplicated(z, dz))
    same((out, dout), (z * 1j, c(0, 0)))
    same(dz, c(-2j + 1j * z[1], 3 + 1j * z[0]))  # what the shadows of the result ask for, conjugated, and the derivative


def test_real_valued_functions_have_both_partials():
    z, dz = c(Z, 1j), c(0, 0)
    autodiff(ReverseHolomorphic, lambda z: np.sum(abs(z) ** 2), Active, Duplicated(z, dz))
    same(dz, 2 * z)
    for mode in (Reverse, ReverseHolomorphic):
        same(autodiff(mode, lambda z: abs(z) ** 2, Active, Active(Z)), ((2 * Z,),))
    same(autodiff(ReverseHolomorphic, lambda z: abs(z) ** 2 + 0j, Active, Active(Z)), ((np.conj(Z),),))  # Wirtinger's


def test_holomorphic_modes_take_complex_arguments():
    with pytest.raises(TypeError, match="x is real"):
        autodiff(ReverseHolomorphic, lambda x, z: x * z, Active, Active(2.0), Active(Z))
    same(autodiff(ReverseHolomorphic, lambda x, z: x * z, Active, Const(2.0), Active(Z)), ((None, 2 + 0j),))


# ---- shadows of all kinds


def test_zeros_and_units():
    x = {"z": c(1, 2), "w": 3j, "r": (1.0, np.complex64(2))}
    zero = make_zero(x)
    assert zero["z"].tolist() == [0, 0] and zero["z"].dtype == complex and zero["w"] == 0 and type(zero["w"]) is complex
    assert type(zero["r"][1]) is np.complex64
    shadow = {"z": c(1, 2), "w": 3j}
    make_zero_inplace(shadow)
    assert shadow["z"].tolist() == [0, 0] and type(shadow["w"]) is complex
    assert [unit.tolist() for unit in onehot(c(0, 0))] == [[1, 0], [0, 1]] and type(onehot(1j)[0]) is complex


def test_structures_of_complex_numbers():
    f = lambda s: (s["z"][0] * s["w"] * s["p"][0]).real
    s = {"z": c(1 + 1j), "w": 2 - 1j, "p": (3.0, [1j])}
    dot = {"z": c(1j), "w": 1j, "p": (1.0, [0j])}
    want = (1j * (2 - 1j) * 3 + (1 + 1j) * 1j * 3 + (1 + 1j) * (2 - 1j)).real
    same(autodiff(Forward, f, Duplicated, Duplicated(s, dot)), (want,))
    ref = Ref(make_zero(s))
    autodiff(Reverse, f, Active, MixedDuplicated(s, ref))
    same(ref.value["z"], c(np.conj((2 - 1j) * 3)))
    same(ref.value["w"], np.conj((1 + 1j) * 3))
    same(ref.value["p"][0], ((1 + 1j) * (2 - 1j)).real)
    same(autodiff(Reverse, lambda t: (t[0] * t[1]).imag, Active, Active((2 + 1j, 3.0))), (((3j, 1.0),),))


def test_batches():
    z, lanes = c(1 + 1j, 2j), tuple(onehot(c(0, 0)))
    dots = autodiff(Forward, lambda z: z * z[0], Duplicated, BatchDuplicated(z, lanes))[0]
    same(dots[0], c(2 * z[0], z[1]))
    same(dots[1], c(0, z[0]))
    bars = (c(0, 0), c(1, 1))
    autodiff(Reverse, lambda z: (z[0] * z[1]).imag, Active, BatchDuplicated(z, bars))
    want = 1j * np.conj(z[::-1])
    same(bars[0], want)
    same(bars[1], 1 + want)


def test_returned_arrays():
    forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, lambda z: (2j * z, z.imag), Duplicated, Duplicated)
    z, dz = c(1 + 1j, 2j), c(0, 0)
    tape, value, (shadow, shadow_of_view) = forward(Duplicated(z, dz))
    same(value[0], 2j * z)
    same(value[1], z.imag)
    assert shadow_of_view.dtype == float and np.shares_memory(shadow_of_view, dz)
    shadow += c(1, 1j)
    shadow_of_view += [3.0, 4.0]
    reverse(Duplicated(z, dz), tape)
    same(dz, np.conj(2j) * c(1, 1j) + 1j * np.array([3, 4]))
    (dot,) = autodiff(Forward, lambda z: (z * 1j).real, Duplicated, Duplicated(z, c(1j, 2)))
    same(dot, np.array([-1.0, 0.0]))


def test_second_order():
    f = lambda z: (z[0] * z[1] ** 2).real
    z, v = c(1 + 1j, 2 - 1j), c(1j, 3)
    product, gradient = c(0, 0), c(0, 0)
    hvp_and_gradient(product, gradient, f, z, v)
    same(gradient, np.conj(c(z[1] ** 2, 2 * z[0] * z[1])))
    same(product, np.conj(c(2 * z[1] * v[1], 2 * v[0] * z[1] + 2 * z[0] * v[1])))


@pytest.mark.parametrize("engine", ["reference", "vm"])
@pytest.mark.parametrize("seed", range(12))
def test_random_programs_in_place(seed, engine):
    rng = np.random.default_rng(100 + seed)
    program, matrix = random_program(rng), 0.3 * directions(rng, np.zeros((N, N), complex))

    def f(z, r):
        run(program, [Whole(z), Whole(z * 1j), Whole(z[::-1])], [r, r[::-1]], matrix)
        return (z * 1j).sum().real

    z, r = directions(rng, np.zeros(N, complex)), rng.normal(size=N)
    (dz, dr), (bz, br) = directions(rng, z, r), directions(rng, z, r)
    z_dot, r_dot, z_bar, r_bar = dz.copy(), dr.copy(), bz.copy(), br.copy()
    (dot,) = autodiff(Forward, f, Duplicated, Duplicated(z.copy(), z_dot), Duplicated(r.copy(), r_dot), engine=engine)
    changed = z.copy(), r.copy()
    _, value = autodiff(ReverseWithPrimal, f, Active, Duplicated(changed[0], z_bar), Duplicated(changed[1], r_bar), engine=engine)
    expected = z.copy(), r.copy()
    np.testing.assert_allclose(value, f(*expected))
    np.testing.assert_allclose(np.concatenate(changed), np.concatenate(expected))
    left, right = inner(bz, z_dot) + inner(br, r_dot) + dot, inner(z_bar, dz) + inner(r_bar, dr)
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-11 * (1 + abs(inner(bz, z_dot))))


# ---- refusals


def test_complex_returns_are_ambiguous():
    for mode in (Reverse, ReverseWithPrimal):
        for returned in ((), (Active,)):
            with pytest.raises(TypeError, match=r"(?s)complex number.*ReverseHolomorphic"):
                autodiff(mode, square, *returned, Active(Z))
    with pytest.raises(TypeError, match="complex"):
        autodiff(Reverse, lambda x: x * 1j, Active, Active(2.0))


def test_shadows_match():
    for value, shadow in ((c(1), np.zeros(1)), (np.ones(1), c(0)), (c(1), np.zeros(1, np.complex64))):
        with pytest.raises(ValueError, match="dtype"):
            Duplicated(value, shadow)
    with pytest.raises(ValueError, match="number"):
        autodiff(Forward, lambda x: x * 2, Duplicated, Duplicated(1.0, 1j))
    forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, abs, Active, Active)
    tape, *_ = forward(Active(Z))
    with pytest.raises(TypeError, match="seed"):
        reverse(Active(Z), 1j, tape)


def test_constant_memory_refuses_derivatives():
    def f(z, work):
        work[0] = z[0]
        return (work[0] * z[0]).real

    with pytest.raises(ActivityError, match="work"):
        autodiff(Reverse, f, Active, Duplicated(c(1), c(0)), Const(c(0)))
    dz = c(0)
    autodiff(Reverse, f, Active, Duplicated(c(Z), dz), Const(c(0)), hidden="shadow")
    same(dz, np.conj(c(2 * Z)))
    autodiff(Reverse, lambda z: (stop_gradient(z) * z).real, Active, Active(Z))
