"""Random programs on three arrays and two numbers, with activities, and their Jacobians by complex steps.

A program is data: tuples that `execute` runs on named arrays. So one Python function serves all programs, and an oracle
runs the same tuples on complex numbers, statement by statement. A Jacobian takes what is in memory before a call, and the active
numbers, to what is in memory after it, and the return.
"""

import random
import re
from dataclasses import dataclass, field

import numpy as np

STEP = 1e-30
LARGEST = 4.0
ARRAYS, NUMBERS = ("alpha", "beta", "gamma"), ("s", "t")
UFUNCS = {"multiply": np.multiply, "add": np.add, "subtract": np.subtract}


# ---- what statements mean


def evaluate(env, expression):
    kind, *parts = expression
    if kind == "number":
        return parts[0]
    if kind == "scalar":
        return env[parts[0]]
    if kind == "array":
        return env[parts[0]][slice(*parts[1])]
    operands = [evaluate(env, p) for p in parts]
    if kind in UFUNCS:
        return UFUNCS[kind](*operands)
    return np.sin(*operands) if kind == "sin" else operands[0] * 0.5


def set_part(env, target, part, expression):
    env[target][slice(*part)] = evaluate(env, expression)


def add_to_part(env, target, part, expression):
    env[target][slice(*part)] += evaluate(env, expression)


def scale_part(env, target, part, expression):
    env[target][slice(*part)] *= evaluate(env, expression)


def update_whole(env, target, expression):
    whole = env[target]
    whole -= evaluate(env, expression)


def ufunc_out(env, target, part, name, first, second):
    UFUNCS[name](evaluate(env, first), evaluate(env, second), out=env[target][slice(*part)])


def shift(env, target, by):
    x = env[target]
    if by > 0:
        x[by:] = x[:-by]
    else:
        x[:by] = x[-by:]


def put(env, target, index, expression):
    env[target][index] = evaluate(env, expression)


def bind(env, name, expression):
    env[name] = evaluate(env, expression)


def copy(env, name, expression):
    env[name] = evaluate(env, expression).copy()


def zeros(env, name, expression):
    env[name] = np.zeros_like(evaluate(env, expression))


def read(env, name, source, index):
    env[name] = env[source][index]


def branch(env, bound, taken, other):
    for statement in taken if env["k"] > bound else other:
        execute(env, statement)


STATEMENTS = {f.__name__: f for f in (set_part, add_to_part, scale_part, update_whole, ufunc_out, shift, put, bind, copy, zeros,
                                      read, branch)}  # fmt: skip


def execute(env, statement):
    STATEMENTS[statement[0]](env, *statement[1:])


def result(env, returned):
    kind, *parts = returned
    if kind == "nothing":
        return None
    if kind == "sum":
        return env[parts[0]].sum()
    if kind == "dot":
        return (env[parts[0]] * env[parts[1]]).sum()
    return env[parts[0]] if kind == "argument" else evaluate(env, parts[0])  # "part" and "fresh"


# ---- programs


@dataclass
class Program:
    """Statements, and where in memory the arguments are: `places` maps a name to (root, slice)."""

    seed: int
    mode: str  # forward, reverse, split
    width: int
    places: dict
    lengths: dict  # of the roots
    const: set  # roots and numbers without derivatives
    hidden: str | None
    violating: bool
    statements: list = field(default_factory=list)
    returned: tuple = ("nothing",)
    features: set = field(default_factory=set)

    def numbers(self, turn):
        """Memory, numbers, the constant of branches, and captured arrays, for the first call or the second."""
        rng = np.random.default_rng([self.seed, turn])
        memory = {r: rng.uniform(0.4, 1.3, n) * rng.choice([-1, 1], n) for r, n in self.lengths.items()}
        scalars = {n: float(rng.uniform(-1.3, 1.3)) for n in NUMBERS}
        k = int(rng.integers(0, 4))
        return memory, scalars, k

    def captured(self):
        rng = np.random.default_rng(self.seed)
        return rng.uniform(0.4, 1.3, 5), rng.uniform(-1, 1, 4)

    def function(self, parameter, scratch):
        statements, returned = tuple(self.statements), self.returned

        def f(alpha, beta, gamma, s, t, k):
            env = {"alpha": alpha, "beta": beta, "gamma": gamma, "s": s, "t": t, "k": k, "P": parameter, "W": scratch}
            for statement in statements:
                execute(env, statement)
            return result(env, returned)

        return f

    def views(self, memory):
        """The arrays of the arguments in memory, or in that of shadows; None where there is none."""
        found = {}
        for name, (root, part) in self.places.items():
            same = next((n for n in found if self.places[n] == (root, part)), None)  # one array twice is one object
            found[name] = found[same] if same else memory[root][slice(*part)] if root in memory else None
        return found

    @property
    def roots(self):
        return [r for r in self.lengths if r not in self.const]

    @property
    def actives(self):
        return [n for n in NUMBERS if n not in self.const]

    def run(self, memory, scalars, k, dtype=float, scratch=None):
        """Memory after the call, and the return; `violated` are the roots without derivatives that a step reached."""
        memory = {r: x.astype(dtype) for r, x in memory.items()}
        parameter, captured = self.captured()
        captured = (captured if scratch is None else scratch).astype(dtype)
        env = {**self.views(memory), **scalars, "k": k, "P": parameter.astype(dtype), "W": captured}
        violated = set()
        for statement in path(self.statements, k):
            execute(env, statement)
            for root in self.const & memory.keys():
                if dtype is complex and memory[root].imag.any():
                    violated.add(root)
                    if self.hidden == "detach":
                        memory[root].imag = 0
        return memory, result(env, self.returned), captured, violated

    def jacobian(self, memory, scalars, k, scratch=None):
        """d (memory of the roots, return) / d (memory of the roots, active numbers)."""
        columns, violated = [], set()
        for place in [(r, i) for r in self.roots for i in range(self.lengths[r])] + self.actives:
            there, numbers = {r: x.astype(complex) for r, x in memory.items()}, dict(scalars)
            if isinstance(place, tuple):
                there[place[0]][place[1]] += 1j * STEP
            else:
                numbers[place] += 1j * STEP
            after, returned, _, reached = self.run(there, numbers, k, complex, scratch)
            violated |= reached
            columns.append(self.joined(after, returned).imag / STEP)
        return np.array(columns).T, violated

    def joined(self, memory, returned):
        parts = [] if returned is None else [np.ravel(returned)]
        return np.concatenate([np.zeros(0), *(memory[r] for r in self.roots), *parts])

    def __repr__(self):
        lines = "\n".join(map(str, self.statements))
        head = f"seed {self.seed}: {self.mode}, width {self.width}, without derivatives: {sorted(self.const)}"
        return f"{head}, hidden={self.hidden!r}, violating={self.violating}\n{self.places}\n{lines}\nreturn {self.returned}"


def path(statements, k):
    """The statements that run, one by one."""
    for statement in statements:
        if statement[0] == "branch":
            yield from path(statement[2] if k > statement[1] else statement[3], k)
        else:
            yield statement


# ---- drawing


def program(seed):
    rng = random.Random(seed)
    mode, width = rng.choice(["forward", "reverse", "split"]), rng.choice([1, 1, 1, 2, 3])
    places, lengths = memory_of_arguments(rng)
    violating = rng.random() < 0.2
    const = {r for r in lengths if rng.random() < (0.5 if violating else 0.3)} | {n for n in NUMBERS if rng.random() < 0.4}
    if len(const) == len(lengths) + len(NUMBERS):
        const.discard("A")
    if mode != "forward" and const.issuperset(lengths):
        width = 1  # in reverse, shadows say how many lanes there are
    violating = violating and any(r in const for r in lengths)
    hidden = rng.choice([None, "shadow", "detach"]) if violating else None
    made = Program(seed, mode, width, places, lengths, const, hidden, violating)
    Drafting(rng, made).draft(rng.randint(3, 10))
    return made


def memory_of_arguments(rng):
    """Arguments that are whole arrays, strided or reversed views, one array twice, or overlapping windows of one."""
    whole, part = (None, None, None), rng.choice([(None, None, 2), (None, None, -1), (1, None, None)])
    arrangement = rng.choice(["apart", "apart", "views", "same", "overlapping"])
    if arrangement == "apart":
        places = {"alpha": ("A", whole), "beta": ("B", whole), "gamma": ("C", whole)}
        return places, {"A": 5, "B": rng.choice([3, 5]), "C": 4}
    if arrangement == "views":
        return {"alpha": ("A", part), "beta": ("B", whole), "gamma": ("C", part)}, {"A": 7, "B": 4, "C": 5}
    if arrangement == "same":
        return {"alpha": ("A", whole), "beta": ("A", whole), "gamma": ("C", whole)}, {"A": 5, "C": 4}
    return {"alpha": ("A", (None, -1, None)), "beta": ("A", (1, None, None)), "gamma": ("C", whole)}, {"A": 6, "C": 4}


class Drafting:
    """Draws statements that run, with moderate numbers; keeps which memory a name stands for and what is active."""

    def __init__(self, rng, made):
        self.rng, self.program = rng, made
        self.root = {**{n: place[0] for n, place in made.places.items()}, "P": "P", "W": "W"}
        views = made.views({r: np.empty(n) for r, n in made.lengths.items()})
        self.length = {**{n: len(x) for n, x in views.items()}, "P": 5, "W": 4}
        self.scalars = list(NUMBERS)
        self.tainted = {*made.roots, *made.actives}
        self.uses_scratch = not made.violating and rng.random() < 0.5

    def draft(self, size):
        kinds = [k for k in dir(self) if k.startswith("draw_")]
        for turn in range(4 * size):
            if len(self.program.statements) >= size:
                break
            kept = dict(self.root), dict(self.length), list(self.scalars), set(self.tainted), set(self.program.features)
            violation = self.program.violating and turn == size // 2
            drawn = self.violation() if violation else getattr(self, self.rng.choice(kinds))()
            if drawn is None or not self.runs(drawn):
                self.root, self.length, self.scalars, self.tainted, self.program.features = kept
            else:
                self.program.statements.append(drawn)
        self.program.returned = self.chosen_return()
        self.program.features |= {s[0] for s in self.program.statements} | {"return " + self.program.returned[0]}

    def runs(self, statement):
        """Whether numbers stay moderate, whichever branches are taken."""
        trial = Program(**{**vars(self.program), "statements": [*self.program.statements, statement]})
        for turn in (0, 1):
            memory, scalars, k = self.program.numbers(turn)
            with np.errstate(all="ignore"):
                after, _, scratch, _ = trial.run(memory, scalars, k)
            if any(np.abs(x).max() > LARGEST for x in [*after.values(), scratch]):
                return False
        return True

    # operands

    def part(self, name, m):
        """A slice of m elements of an array."""
        length = self.length[name]
        step = self.rng.choice([s for s in (1, 1, 1, -1, -1, 2, -2) if (m - 1) * abs(s) < length])
        span = (m - 1) * abs(step)
        low = self.rng.randint(0, length - 1 - span)
        if step > 0:
            return (low, low + span + 1, step)
        return (low + span, low - 1 if low else None, step)

    def operand(self, m):
        names = [n for n in self.length if self.length[n] >= m and (n != "W" or self.uses_scratch)]
        if not names:
            return ("number", 0.75)
        name = self.rng.choice(names)
        return ("array", name, self.part(name, m))

    def expression(self, m, depth=2):
        kind = self.rng.choice(["leaf", "leaf", "multiply", "add", "subtract", "sin", "half"]) if depth else "leaf"
        if kind in UFUNCS:
            return (kind, self.expression(m, depth - 1), self.operand(m))
        if kind != "leaf":
            return (kind, self.expression(m, depth - 1))
        chosen = self.rng.random()
        if chosen < 0.7 or depth == 2:
            return self.operand(m)
        return ("scalar", self.rng.choice(self.scalars)) if chosen < 0.9 else ("number", self.rng.choice([0.5, -1.25, 2.0]))

    def active(self, expression):
        kind, *parts = expression
        if kind == "number":
            return False
        if kind in ("scalar", "array"):
            return self.root.get(parts[0], parts[0]) in self.tainted
        return any(self.active(p) for p in parts)

    def may_store(self, target, *expressions):
        """Whether the store is allowed; what it makes active."""
        root = self.root[target]
        if not any(self.active(e) for e in expressions):
            return True
        if root in self.program.const and not self.program.violating:
            return False
        self.tainted.add(root)
        return True

    def target(self):
        names = [n for n in self.length if self.root[n] != "P" and (n != "W" or self.uses_scratch)]
        name = self.rng.choice(names)
        self.program.features |= {"scratch"} if name == "W" else set()
        self.program.features |= {"store without derivative"} if self.root[name] in self.program.const else set()
        m = self.rng.randint(1, self.length[name])
        return name, m, self.part(name, m)

    def fresh(self, length, root=None):
        name = f"v{len(self.root) + len(self.scalars)}"
        self.root[name], self.length[name] = root or name, length
        return name

    # statements

    def draw_set(self):
        name, m, part = self.target()
        e = self.expression(m)
        if e[0] == "array" and self.root[e[1]] == self.root[name] and (e[1], e[2][2]) != (name, part[2]):
            e = ("half", e)  # NumPy 2.4 makes no copy for x[::2] = x[:3], and so reads what it has just written
        return ("set_part", name, part, e) if self.may_store(name, e) else None

    def draw_add(self):
        name, m, part = self.target()
        e = self.expression(m)
        return ("add_to_part", name, part, e) if self.may_store(name, e) else None

    def draw_scale(self):
        name, m, part = self.target()
        e = self.rng.choice([self.operand(m), ("scalar", self.rng.choice(self.scalars)), ("number", 0.5)])
        return ("scale_part", name, part, e) if self.may_store(name, e) else None

    def draw_axpy(self):
        name, _, _ = self.target()
        e = ("multiply", ("scalar", self.rng.choice(self.scalars)), self.operand(self.length[name]))
        return ("update_whole", name, e) if self.may_store(name, e) else None

    def draw_out(self):
        name, m, part = self.target()
        first, second = self.operand(m), self.operand(m)
        if not self.may_store(name, first, second):
            return None
        return ("ufunc_out", name, part, self.rng.choice(list(UFUNCS)), first, second)

    def draw_shift(self):
        name, _, _ = self.target()
        by = self.rng.choice([1, -1, 2])
        return ("shift", name, by) if self.length[name] > abs(by) and self.may_store(name, ("array", name)) else None

    def draw_clear(self):
        name, _, part = self.target()
        return ("set_part", name, part, ("number", self.rng.choice([0.0, 1.25])))

    def draw_put(self):
        name, _, _ = self.target()
        scalar = ("scalar", self.rng.choice(self.scalars))
        e = self.rng.choice([scalar, ("sin", scalar), ("multiply", scalar, ("number", 0.5))])
        return ("put", name, self.rng.randrange(-1, self.length[name]), e) if self.may_store(name, e) else None

    def draw_view(self):
        e = self.operand(self.rng.randint(2, 4))
        if e[0] != "array" or e[1] == "P":
            return None
        m = len(range(*slice(*e[2]).indices(self.length[e[1]])))
        self.program.features |= {"reversed view"} if e[2][2] < 0 else set()
        return ("bind", self.fresh(m, self.root[e[1]]), e)

    def draw_copy(self):
        m = self.rng.randint(2, 4)
        e = self.operand(m)
        name = self.fresh(m)
        self.tainted |= {name} if self.active(e) else set()
        return ("copy", name, e) if e[0] == "array" else None

    def draw_zeros(self):
        m = self.rng.randint(2, 4)
        e = self.operand(m)
        return ("zeros", self.fresh(m), e) if e[0] == "array" else None

    def draw_product(self):
        m = self.rng.randint(2, 4)
        e = ("multiply", self.operand(m), self.operand(m))
        name = self.fresh(m)
        self.tainted |= {name} if self.active(e) else set()
        return ("bind", name, e) if ("array" in (e[1][0], e[2][0])) else None

    def draw_read(self):
        e = self.operand(1)
        name = f"v{len(self.root) + len(self.scalars)}"
        if e[0] != "array":
            return None
        self.tainted |= {name} if self.active(e) else set()
        self.scalars.append(name)
        return ("read", name, e[1], e[2][0])

    def draw_branch(self):
        stores = [self.draw_set, self.draw_add, self.draw_scale, self.draw_clear]
        taken, other = ([s for s in (self.rng.choice(stores)() for _ in range(2)) if s] for _ in range(2))
        return ("branch", self.rng.randint(0, 2), taken, other)

    def violation(self):
        """An active value is stored in an argument without derivatives."""
        name = self.rng.choice(names_of(self.program, self.program.const))
        sources = [("array", n) for n in names_of(self.program, self.program.roots)]
        kind, source = self.rng.choice(sources + [("scalar", n) for n in self.program.actives])
        m = min(self.length[name], self.length.get(source, 3))
        e = ("array", source, self.part(source, m)) if kind == "array" else ("scalar", source)
        self.tainted.add(self.root[name])
        return ("set_part", name, self.part(name, m), ("half", e))

    def chosen_return(self):
        names = [n for n in self.length if n != "P" and (n != "W" or self.uses_scratch)]
        name = self.rng.choice(names)
        kind = self.rng.choice(["nothing", "sum", "sum", "dot", "argument", "part", "fresh"])
        if kind == "sum":
            return ("sum", name)
        if kind == "dot":
            return ("dot", name, self.rng.choice([n for n in names if self.length[n] == self.length[name]]))
        if kind == "argument":
            return ("argument", self.rng.choice(ARRAYS))
        if kind == "part":
            name = self.rng.choice(ARRAYS)
            return ("part", ("array", name, self.part(name, self.rng.randint(1, self.length[name]))))
        return ("fresh", ("multiply", self.operand(3), ("number", 1.5))) if kind == "fresh" else ("nothing",)


def names_of(program, roots):
    return [n for n, (root, _) in program.places.items() if root in roots]


def mentions(text, names):
    return any(re.search(rf"\b{n}\b", text) for n in names)
