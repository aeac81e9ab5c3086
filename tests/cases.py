"""Tables of small functions, and the checks that each of them passes: first order, sparse Jacobian, second order."""

import numpy as np
import pytest

import oracle
import sparsead


def sample(shape, seed=0):
    """Distinct numbers in (0.5, 2): inside every domain, away from every kink."""
    return np.random.default_rng(seed).uniform(0.5, 2.0, shape)


class Functions(dict):
    """Functions by their names; as a decorator it takes one more."""

    def __call__(self, f):
        assert f.__name__ not in self
        self[f.__name__] = f
        return f


class Table:
    """Functions under test, each with its arguments, what to differentiate and how exact the numbers are."""

    def __init__(self):
        self.cases = {}

    def case(self, *shapes, make=None, wrt=None, of="return", tol=1e-10):
        """Add a function with the shapes of its arguments or `make() -> arguments`; wrt: all float arguments."""

        def register(f, name=None):
            arguments = make or (lambda: tuple(sample(s, i) for i, s in enumerate(shapes)))
            floats = tuple(i for i, a in enumerate(arguments()) if np.asarray(a).dtype.kind == "f")
            name = name or f.__name__
            assert name not in self.cases
            self.cases[name] = Case(name, f, arguments, floats if wrt is None else wrt, of, tol)
            return f

        return register

    @property
    def parametrize(self):
        return pytest.mark.parametrize("case", self.cases.values(), ids=list(self.cases))


class Case:
    def __init__(self, name, f, make, wrt, of, tol):
        self.name, self.f, self.make, self.wrt, self.of, self.tol = name, f, make, wrt, of, tol

    def first_array(self):
        """The first argument of wrt that is an array."""
        wrt = self.wrt if isinstance(self.wrt, tuple) else (self.wrt,)
        return next(w for w in wrt if isinstance(self.make()[w], np.ndarray))

    def points(self):
        """Arguments to trace with, then the same with other numbers, for the replay."""
        return self.make(), oracle.moved(self.make())


def tangents_and_adjoints(f, args, wrt, of):
    """Value, and the Jacobian column by column (jvp) and row by row (one pullback for all rows)."""
    value, pullback = sparsead.vjp(f, wrt=wrt, of=of)(*args)
    rows = [oracle.flat(pullback(seed)) for seed in oracle.basis(value)]
    columns, jvp = [], sparsead.jvp(f, wrt=wrt, of=of)
    for v in oracle.basis(tangent_of(args, wrt)):
        again, tangent = jvp(*args, v)
        oracle.same_values(again, value)
        columns.append(oracle.flat(tangent))
    return value, np.array(columns).T, np.array(rows)


def tangent_of(args, wrt):
    """What a tangent looks like."""
    return tuple(args[w] for w in wrt) if isinstance(wrt, tuple) else args[wrt]


def check_first_order(case):
    """Primal, by the reference to the bit; forward, reverse and oracle entry by entry; nothing of the caller is touched."""
    for args in case.points():
        expected = oracle.jacobian(case.f, args, case.wrt, case.of)
        before = oracle.fingerprint(args, case.f)
        value, forward, reverse = tangents_and_adjoints(case.f, args, case.wrt, case.of)
        assert oracle.fingerprint(args, case.f) == before
        primal, slow = oracle.values(case.f, args, case.of), sparsead.jvp(case.f, case.wrt, case.of, engine="reference")
        oracle.same_bits(slow(*args, next(oracle.basis(tangent_of(args, case.wrt))))[0], primal)
        oracle.same_values(value, primal)
        oracle.close(forward, expected, case.tol)
        oracle.close(reverse, expected, case.tol)
        oracle.close(forward, reverse, max(1e-13, case.tol))


def check_sparse_jacobian(case):
    """One prepared Jacobian, traced at the first arguments and replayed at the others."""
    jac = sparsead.jacobian(case.f, wrt=case.wrt, of=case.of)
    for args in case.points():
        before = oracle.fingerprint(args, case.f)
        oracle.close(jac(*args).toarray(), oracle.jacobian(case.f, args, case.wrt, case.of), case.tol)
        assert oracle.fingerprint(args, case.f) == before


NAMED = {1: lambda f: lambda a: f(a), 2: lambda f: lambda a, b: f(a, b), 3: lambda f: lambda a, b, c: f(a, b, c)}


def loss_of(case):
    """A scalar function: a fixed nonlinear weighting of all that the case computes."""
    f, at = case.f, oracle.positions(case.f, case.of)

    def loss(*args):
        r = f(*args)
        parts = [np.ravel(r if o == "return" else args[o]) for o in at]
        return sum((np.cos(np.arange(len(p))) * (p + p * p)).sum() for p in parts)

    return NAMED[len(case.make())](loss)


def double(a):
    return a.astype(float) if isinstance(a, np.ndarray) and a.dtype == np.float32 else a


def check_second_order(case):
    """H v forward over reverse, and reverse over reverse, against differences of complex-step gradients."""
    wrt, loss, args = case.first_array(), loss_of(case), case.make()
    if any(double(a) is not a for a in args):  # differences need all digits
        args = tuple(double(a) for a in args)
    v = np.cos(1 + np.arange(args[wrt].size)).reshape(args[wrt].shape) * (args[wrt] != 0)  # zero is where cases branch
    product = sparsead.hvp(loss, wrt=wrt)(*args, v)
    slope = sparsead.grad(NAMED[len(args)](lambda *a: (sparsead.grad(loss, wrt=wrt)(*a) * v).sum()), wrt=wrt)
    oracle.close(product, oracle.hessian_product(loss, args, v, wrt), 1e-6)
    oracle.close(slope(*args), product, 1e-10)
