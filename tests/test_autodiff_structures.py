"""Random programs that move references, write through them and change numbers in objects, against the one formula of shadows.

What is differentiated is memory: arrays and numbers in objects, which stay what they are wherever references to them go. So
shadows of the arrays that were there before a call obey the formula of `test_autodiff_random`, and containers of shadows end
up like their primals.
"""

import random

import numpy as np
import pytest
from hypothesis import settings

import oracle
from sparsead import (
    Active,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    ReverseSplitNoPrimal,
    ReverseWithPrimal,
    autodiff,
    autodiff_thunk,
)

TENS = 2 * settings().max_examples // 10


class Node:
    def __init__(self, x, v, next=None):
        self.x, self.v, self.next = x, v, next


ARRAYS = [("a",), ("b",), ("list", 0), ("list", 1), ("node", "x"), ("node", "next", "x")]
NUMBERS = [("node", "v"), ("node", "next", "v")]


def get(at, path):
    for key in path:
        at = at[key] if isinstance(at, (dict, list)) else getattr(at, key)
    return at


def put(at, path, value):
    at = get(at, path[:-1])
    if isinstance(at, Node):
        setattr(at, path[-1], value)
    else:
        at[path[-1]] = value


# ---- statements


def link(box, s, p, q, n):
    put(box, p, get(box, q))


def swap(box, s, p, q, n):
    first, second = get(box, p), get(box, q)
    put(box, p, second)
    put(box, q, first)


def renew(box, s, p, q, n):
    put(box, p, get(box, p) * get(box, q))


def write(box, s, p, q, n):
    get(box, p)[1:] = get(box, q)[:-1] * s


def scale(box, s, p, q, n):
    x = get(box, p)
    x *= get(box, q)


def clear(box, s, p, q, n):
    get(box, p)[1] = 0.5


def count(box, s, p, q, n):
    put(box, n, get(box, n) * s + get(box, p)[0])


def recall(box, s, p, q, n):
    get(box, p)[-1] = get(box, n)


def turn(box, s, p, q, n):
    first = box["node"]
    second = first.next
    box["node"], second.next, first.next = second, first, None


def view(box, s, p, q, n):
    put(box, p, get(box, q)[::-1])


def insert(box, s, p, q, n):
    first = box["node"]
    box["node"] = Node(get(box, p), first.v * s, first.next)


STATEMENTS = [link, swap, renew, write, scale, clear, count, recall, turn, view, insert]


class Program:
    def __init__(self, seed):
        rng = random.Random(seed)
        self.seed, self.mode = seed, rng.choice(["forward", "reverse", "split"])
        self.shared = rng.random() < 0.3
        kinds = [rng.choice(STATEMENTS) for _ in range(rng.randint(2, 7))]
        self.statements = [(k, rng.choice(ARRAYS), rng.choice(ARRAYS), rng.choice(NUMBERS)) for k in kinds]
        self.returned = rng.choice(ARRAYS), rng.choice(ARRAYS), rng.choice(NUMBERS)

    def box(self, rng):
        """The argument, or its shadow; six arrays, of which two may be one."""
        a, b, c, d, e, f = (rng.uniform(-1, 1, 3) for _ in range(6))
        v, w = rng.uniform(-1, 1, 2).tolist()
        return {"a": a, "b": a if self.shared else b, "list": [c, d], "node": Node(e, v, Node(f, w))}

    def function(self):
        statements, (p, q, n) = self.statements, self.returned

        def f(box, s):
            for statement, *where in statements:
                statement(box, s, *where)
            return (get(box, p) * get(box, q)).sum() + get(box, n)

        return f

    def __repr__(self):
        lines = "\n".join(f"{f.__name__} {' '.join(map(str, where))}" for f, *where in self.statements)
        return f"seed {self.seed}: {self.mode}, shared={self.shared}\n{lines}\nreturn {self.returned}"


# ---- memory


def memory(box):
    """The arrays and the objects with numbers in a box."""
    arrays = {id(x): x for x in (get(box, p) for p in ARRAYS)}
    return list(arrays.values()), [box["node"], box["node"].next]


def content(arrays, nodes):
    return np.concatenate([*arrays, [n.v for n in nodes]])


def jacobian(program, box, s):
    """d (memory, return) / d (memory, s); and the box after the call, as indices of arrays, or arrays if these are new."""
    f, (arrays, nodes) = program.function(), memory(box)
    columns = []
    for k in range(sum(x.size for x in arrays) + len(nodes) + 1):
        world = oracle.World(to_complex=True)
        copy, own, objects = world(box), [world(x) for x in arrays], [world(n) for n in nodes]
        step, number = 1j * oracle.STEP, s
        if k < sum(x.size for x in arrays):
            own[k // 3][k % 3] += step
        elif k < sum(x.size for x in arrays) + len(nodes):
            objects[k - sum(x.size for x in arrays)].v += step
        else:
            number += step
        value = f(copy, number)
        columns.append(np.append(content(own, objects), value).imag / oracle.STEP)
    return np.array(columns).T


def after(program, box, s):
    """The value, and for each place what `where` and `same_objects` say, its content, and its numbers."""
    world = oracle.World()
    copy, own = world(box), [world(x) for x in memory(box)[0]]
    value = program.function()(copy, s)
    return value, (where(copy, own), same_objects(copy, own)), [get(copy, p) for p in ARRAYS], [get(copy, n) for n in NUMBERS]


def where(box, arrays):
    """For each place the array of before in whose memory it is now, and where in that; None for new memory."""

    def found(x):
        k = next((k for k, y in enumerate(arrays) if np.shares_memory(x, y)), None)
        return None if k is None else (k, oracle.address(x) - oracle.address(arrays[k]), x.strides)

    return [found(get(box, p)) for p in ARRAYS]


def same_objects(box, arrays):
    """For each place the index of the array of before that is there now."""
    return [next((k for k, x in enumerate(arrays) if x is get(box, p)), None) for p in ARRAYS]


def close(value, expected):
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-11 * max(1.0, np.abs(expected).max(initial=0.0)))


# ---- runs


def check(program, engine):
    f = program.function()
    for turn_ in range(2):
        rng = np.random.default_rng([program.seed, turn_])
        box, shadow = program.box(rng), program.box(rng)
        s, ds = float(rng.uniform(0.5, 1.2)), float(rng.normal())
        value, places, contents, numbers = after(program, box, s)
        J = jacobian(program, box, s)
        arrays, shadows = memory(box)[0], memory(shadow)
        entered = content(*shadows)
        args = Duplicated(box, shadow), Duplicated(s, ds) if program.mode == "forward" else Active(s)
        if program.mode == "forward":
            tangent, got = autodiff(ForwardWithPrimal, f, Duplicated, *args, engine=engine)
            expected = J @ np.append(entered, ds)
            close(tangent, expected[-1])
        else:
            adjoint, got = backwards(program, f, args, engine)
            expected = J.T @ np.append(entered, 1.0)
            close(adjoint, expected[-1])
        close(content(*shadows), expected[:-1])
        assert got is None or abs(got - value) < 1e-12 * max(1, abs(value))
        assert where(box, arrays) == where(shadow, shadows[0]) == places[0]
        if not any(kind is view for kind, *_ in program.statements):  # a view of all of an array may be the array
            assert same_objects(box, arrays) == same_objects(shadow, shadows[0]) == places[1]
        np.testing.assert_array_equal([get(box, p) for p in ARRAYS], contents)
        np.testing.assert_array_equal([get(box, n) for n in NUMBERS], numbers)


def backwards(program, f, args, engine):
    if program.mode == "reverse":
        derivatives, value = autodiff(ReverseWithPrimal, f, Active, *args, engine=engine)
    else:
        forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, f, Active, *args, engine=engine)
        tape, value, _ = forward(*args)
        (derivatives,) = reverse(*args, 1.0, tape)
    assert derivatives[0] is None
    return derivatives[1], value


@pytest.mark.parametrize("ten", range(TENS), ids=[f"seeds_of_{k}" for k in range(TENS)])
def test_random_structures(ten):
    for seed in range(10 * ten, 10 * ten + 10):
        program = Program(seed)
        try:
            check(program, "reference" if seed % 2 else "vm")
        except BaseException as error:
            error.add_note(repr(program))
            raise


def test_new_arrays_take_tangents_with_them():
    """What the formula says of places, for arrays that were not there before."""
    program = Program(0)
    program.statements = [(renew, ("a",), ("b",), NUMBERS[0]), (link, ("list", 0), ("a",), NUMBERS[0])]
    rng = np.random.default_rng(5)
    box, shadow = program.box(rng), program.box(rng)
    a, b, da, db = box["a"], box["b"], shadow["a"], shadow["b"]
    autodiff(Forward, program.function(), Duplicated, Duplicated(box, shadow), Duplicated(1.0, 0.0))
    assert box["list"][0] is box["a"] and shadow["list"][0] is shadow["a"]
    close(box["a"], a * b)
    close(shadow["a"], da * b + a * db)
