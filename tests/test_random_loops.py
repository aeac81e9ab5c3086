"""Random loops: the primal to the bit against plain NumPy, the derivatives of rolled loops against unrolled ones."""

import re
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import loop_programs as programs
import oracle
import sparsead

OF = ("return", "u", "v", "F")
WRT = ("u", "v", "F", "c")
DOUBLE, SINGLE = 1e-12, 1e-5  # a float under float32 arithmetic has its adjoint summed in float32, in another order
EXAMPLES = 2 * settings().max_examples  # of the profile
REASONS = [
    "they do different things", "changes from step to step", "number that is taken from a traced one", "no two are alike",
    "grows or shrinks", "a mask of traced values names", "a branch inside an inner loop", "shape or dtype of an array changes",
    "part on a path that is taken seldom", "swapped on some paths", "whose name went to another array", "paths through the body",
]  # fmt: skip


def weighted(results):
    """Every element of every result with a weight of its own, under a curve."""
    total = 0.0
    for r in results:
        total = total + np.sin(np.asarray(r) * (1.0 + np.arange(np.size(r)).reshape(np.shape(r)))).sum()
    return total


def losses(f):
    def loss(u, v, F, c):
        return weighted((*f(u, v, F, c), u, v, F))

    return loss


def derivatives(f, points):
    """Values, tangents, gradients, Hessian-vector products and Jacobians at each point, each prepared once."""
    loss = losses(f)
    tangent, gradient, product = sparsead.jvp(f, WRT, OF), sparsead.grad(loss, WRT), sparsead.hvp(loss, WRT)
    jacobian = sparsead.jacobian(f, "u", "return")
    for args in points:
        v = tuple(np.cos(1.0 + np.arange(np.size(x))).reshape(np.shape(x))[()] for x in args)
        value, dot = tangent(*args, v)
        yield value, [*leaves(dot), *gradient(*args), *product(*args, v), jacobian(*args).toarray()]


def leaves(x):
    return [leaf for part in x for leaf in leaves(part)] if isinstance(x, tuple) else [x]


def check(program, unroll=False):
    points = program.args, program.moved()
    text = "\n".join([*program.before, *program.body, *program.after])
    tolerance = SINGLE if re.search(r"\bg\b", text) else DOUBLE
    rolled = derivatives(program.function(partial(sparsead.steps, unroll=unroll)), points)
    unrolled = derivatives(program.function(range), points)
    for args, (value, found), (_, expected) in zip(points, rolled, unrolled, strict=True):
        results = program.plain(args)
        oracle.same_bits((*value[0], *value[1:]), results)
        for x, e in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, e, rtol=tolerance, atol=tolerance * max(1.0, np.max(np.abs(e), initial=0.0)))


def refused(program, error):
    """A refusal names a line of the program and a reason that users are told of."""
    text = str(error)
    assert re.search(r":\d+", text), text
    assert any(r in text for r in REASONS), text


def test_random_loops():
    """The counts prove that statements of all kinds occur in loops that are not refused, and that few are."""
    kinds = Counter()

    @settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(programs.programs())
    def run(program):
        try:
            check(program)
        except sparsead.TraceError as error:
            refused(program, error)
            kinds["refused"] += 1
        else:
            kinds.update(set(program.kinds))

    run()
    assert {kind.__name__ for kind in programs.KINDS} <= kinds.keys()
    assert kinds["refused"] <= EXAMPLES // 5


def test_what_cannot_stay_a_loop_is_refused():
    """Statements that no loop can keep, between random ones: the refusal names the line of the loop or of the statement."""
    for text, reason in programs.REFUSED.items():
        program = programs.Program(30, [], ["a = 0.9 * a", *text.split("; ")], [], Counter())
        with pytest.raises(sparsead.TraceError, match=reason) as caught:
            check(program)
        refused(program, caught.value)
