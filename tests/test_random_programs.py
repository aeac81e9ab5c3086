"""Random in-place programs: primal to the bit against NumPy, derivatives against complex steps and differences.

The counters at the end of each test prove that what the programs are meant to contain really occurs in them, in
statements that carry a derivative.
"""

from collections import Counter

import numpy as np
from hypothesis import HealthCheck, given, settings

import programs
import sparsead

oracle = programs.oracle

EXAMPLES = 3 * settings().max_examples  # of the profile: SPARSEAD_TEST_EXAMPLES sets it
MANY, FEW = EXAMPLES // 10, max(1, EXAMPLES // 100)
FEATURES = {
    "view": MANY,
    "F-order": MANY,
    "negative stride": MANY,
    "in-place store": MANY,
    "write seen through another view": MANY,
    "aliased arguments": MANY,
    "aliased operands": FEW,
    "overlapping in-place write": FEW,
    "write through a reshape that is a view": FEW,
    "write through a reshape that is a copy": FEW,
    "write through a reshape of a transposed result": FEW,
    "broadcast view": FEW,
    "window view": FEW,
    "diagonal view": FEW,
    "repeated indices set": FEW,
    "repeated indices added": FEW,
    "repeated indices at": FEW,
    "repeated indices read": FEW,
    "masked store": FEW,
    "masked read": FEW,
    "where=": FEW,
    "infinite slope on the side not taken": FEW,
    "branch taken": FEW,
    "branch not taken": FEW,
    "scalar as a snapshot": FEW,
    "captured scratch": FEW,
    "created inside": FEW,
    "joined": FEW,
    "swapped names": FEW,
}


def over_random_programs(check, examples, **kinds):
    """Run a check on random programs; count the features of those it passed."""
    counts = Counter()

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(programs.programs(**kinds))
    def run(program):
        check(program)
        counts.update(program.features())

    run()
    return counts


def missing(counts, required):
    return {feature: counts[feature] for feature, least in required.items() if counts[feature] < least}


def check_first_order(program):
    f, of = program.function(), program.of
    tol = 3e-5 if "float32" in program.source else 1e-10
    for args in (program.args, oracle.moved(program.args)):  # the second may take other branches, with other masks
        expected = oracle.jacobian(f, args, 0, of)
        before = oracle.fingerprint(args, f)
        value, pullback = sparsead.vjp(f, of=of)(*args)
        linear_value, tangent = sparsead.linearize(f, of=of)(*args)
        assert oracle.fingerprint(args, f) == before
        primal = oracle.values(f, args, of)
        oracle.same_bits(sparsead.vjp(f, of=of, engine="reference")(*args)[0], primal)
        oracle.same_values(value, primal)
        oracle.same_values(linear_value, value)
        forward = np.array([oracle.flat(tangent(v)) for v in oracle.basis(args[0])]).T
        reverse = np.array([oracle.flat(pullback(w)) for w in oracle.basis(value)])
        oracle.close(forward, expected, tol)
        oracle.close(reverse, expected, tol)
        oracle.close(forward, reverse, max(1e-12, tol / 10))


def loss_of(program):
    f, takes_a = program.function(), "a" in program.of

    def loss(a, b, c):
        r = f(a, b, c)
        total = (r * r).sum() + np.sin(r).sum()
        return total + (a * a).sum() if takes_a else total

    return loss


def check_second_order(program):
    """Forward over reverse = reverse over reverse = differences of complex-step gradients."""
    loss, args = loss_of(program), program.args
    v = 0.5 * np.cos(1 + np.arange(args[0].size)).reshape(args[0].shape)
    gradient = sparsead.grad(loss)(*args)
    oracle.close(gradient, oracle.jacobian(loss, args).reshape(gradient.shape))
    product = sparsead.hvp(loss)(*args, v)
    twice = sparsead.grad(lambda a, b, c: (sparsead.grad(loss)(a, b, c) * v).sum())(*args)
    oracle.close(product, oracle.hessian_product(loss, args, v, step=2e-4), 1e-5)
    oracle.close(twice, product, 1e-10)


def check_sparse_jacobian(program):
    f, of = program.function(), program.of
    tol = 3e-5 if "float32" in program.source else 1e-10
    jac = sparsead.jacobian(f, of=of)
    for args in (program.args, oracle.moved(program.args)):
        oracle.close(jac(*args).toarray(), oracle.jacobian(f, args, 0, of), tol)


def test_first_order():
    counts = over_random_programs(check_first_order, EXAMPLES)
    assert not missing(counts, FEATURES | {"cast": FEW, "float32": FEW})


def test_second_order():
    counts = over_random_programs(check_second_order, EXAMPLES // 2, casts=False, size=9)
    assert not missing(counts, {feature: least // 4 for feature, least in FEATURES.items()})


def test_sparse_jacobian():
    counts = over_random_programs(check_sparse_jacobian, EXAMPLES // 2)
    assert not missing(counts, {feature: least // 4 for feature, least in FEATURES.items()})


def test_the_generator_notices_what_does_not_matter():
    """Features of a statement count only if the inputs reach it and the outputs feel it."""
    start = {"a": np.array([1.0, 2.0]), "b": np.array([3.0]), "c": 0.5, "P": np.array([1.0]), "W": np.array([0.5, 0.5])}
    statements = [
        ("v0 = a * 2", "v0", {"felt"}),
        ("v1 = a * 3", "v1", {"unused"}),
        ("v2 = P * 3", "v2", {"constant"}),
        ("v0[0] = 1.0", "v0", {"felt in part"}),
    ]
    program = programs.Program(start, statements, "v0 + v2", "return")
    assert program.features() == {"felt", "felt in part"}
