"""Random programs on arrays of complex numbers, and on pairs of real ones."""

import operator

import numpy as np

ENGINES = ("reference", "vm", "native")


def directions(rng, *arrays):
    """Random tangents of arrays or numbers, of their dtypes."""
    found = [rng.normal(size=np.shape(a)) + (1j * rng.normal(size=np.shape(a)) if np.iscomplexobj(a) else 0) for a in arrays]
    return tuple(found) if len(found) > 1 else found[0]


def inner(a, b):
    """The real inner product of complex numbers, in which adjoints are adjoint to tangents."""
    return np.sum((np.conj(a) * b).real)


class Pair:
    """An array of complex numbers as two of real ones, in place."""

    def __init__(self, re, im):
        self.re, self.im = re, im

    def __getitem__(self, at):
        return Pair(self.re[at], self.im[at])

    def __setitem__(self, at, other):
        self.re[at], self.im[at] = other.re, other.im

    def __add__(self, o):
        return Pair(self.re + o.re, self.im + o.im)

    def __sub__(self, o):
        return Pair(self.re - o.re, self.im - o.im)

    def __mul__(self, o):
        return Pair(self.re * o.re - self.im * o.im, self.re * o.im + self.im * o.re)

    def __truediv__(self, o):
        size = o.re * o.re + o.im * o.im
        return self * Pair(o.re / size, -o.im / size)

    def conj(self):
        return Pair(self.re, -self.im)

    def exp(self):
        return Pair(np.exp(self.re) * np.cos(self.im), np.exp(self.re) * np.sin(self.im))

    def log(self):
        return Pair(np.log(np.hypot(self.re, self.im)), np.arctan2(self.im, self.re))

    def sin(self):
        return Pair(np.sin(self.re) * np.cosh(self.im), np.cos(self.re) * np.sinh(self.im))

    def abs(self):
        return Pair(np.hypot(self.re, self.im), 0 * self.re)

    def sqrt(self):
        r, t = np.sqrt(np.hypot(self.re, self.im)), np.arctan2(self.im, self.re) / 2
        return Pair(r * np.cos(t), r * np.sin(t))

    def matmul(self, m):
        return Pair(m.real @ self.re - m.imag @ self.im, m.real @ self.im + m.imag @ self.re)

    def put(self, at, other, add):
        for mine, given in ((self.re, other.re), (self.im, other.im)):
            if add:
                np.add.at(mine, at, given)
            else:
                mine[at] = given

    def real(self):
        return self.re

    def imag(self):
        return self.im

    def sum(self):
        return Pair(self.re + 0 * self.re.sum() + self.re.sum(), self.im + self.im.sum())

    def cumsum(self):
        return Pair(np.cumsum(self.re), np.cumsum(self.im))

    def times(self, r):
        return Pair(self.re * r, self.im * r)

    def plus(self, r):
        return Pair(self.re + r, self.im + 0 * r)


class Whole:
    """The same on an array of complex numbers."""

    def __init__(self, z):
        self.z = z

    def __getitem__(self, at):
        return Whole(self.z[at])

    def __setitem__(self, at, other):
        self.z[at] = other.z

    def real(self):
        return self.z.real

    def imag(self):
        return self.z.imag

    def matmul(self, m):
        return Whole(m @ self.z)

    def sum(self):
        return Whole(self.z + self.z.sum())

    def put(self, at, other, add):
        if add:
            np.add.at(self.z, at, other.z)
        else:
            self.z[at] = other.z

    def times(self, r):
        return Whole(self.z * r)

    def plus(self, r):
        return Whole(self.z + r)


for _name in ("add", "sub", "mul", "truediv"):
    setattr(Whole, f"__{_name}__", lambda self, o, f=getattr(operator, _name): Whole(f(self.z, o.z)))
for _name in ("conj", "exp", "log", "sin", "abs", "sqrt", "cumsum"):
    setattr(Whole, _name, lambda self, f=getattr(np, _name): Whole(f(self.z)))

N = 4
WINDOWS = [slice(None), slice(None, None, -1), slice(0, 3), slice(1, 4), slice(0, 4, 2), slice(1, 4, 2)]


def random_program(rng, length=14):
    """Instructions on three arrays of complex and two of real numbers; the results stay of modest size."""
    found = []
    for _ in range(length):
        kind = rng.choice(["binary", "unary", "put", "matmul", "real", "part", "mix"])
        a, b, c = rng.integers(3, size=3)
        same = rng.choice([k for k, w in enumerate(WINDOWS)], 2)
        found.append((kind, a, b, c, *same, int(rng.integers(1000)), int(rng.integers(2))))
    return found


def run(program, zs, rs, matrix):
    """Do what a program says to arrays, in place."""
    for kind, a, b, c, v, w, choice, k in program:
        v, w = WINDOWS[v], WINDOWS[w]
        if len(range(N)[v]) != len(range(N)[w]):
            w = v
        if kind == "binary":
            f = (operator.add, operator.sub, operator.mul)[choice % 3]
            zs[a][v] = f(zs[b][w], zs[c][v]).times(0.5) if choice % 4 else zs[b][w] / (zs[c][v].conj() * zs[c][v]).plus(1.0)
        elif kind == "unary":
            x = zs[b][w].times(0.3)
            size = (x * x.conj()).plus(0.1)
            zs[a][v] = (x.sin, x.conj, x.abs, x.cumsum, x.sum, x.exp, size.log, size.sqrt)[choice % 8]()
        elif kind == "put":
            zs[a].put([0, 2, 2][: 2 + k] if k else [3, 1], zs[b][:3].times(0.4) if k else zs[b][1:3], bool(k))
        elif kind == "matmul":
            zs[a][:] = zs[b].matmul(matrix)
        elif kind == "real":
            rs[k][v] = (zs[b].real(), zs[b].imag())[choice % 2][w] * 0.7 + np.sin(rs[1 - k][w])
        elif kind == "part":
            target = (zs[a].real(), zs[a].imag())[choice % 2]
            if choice % 3:
                target[v] *= rs[k][w]
            else:
                target[v] = np.cos(rs[k][w]) + (zs[b].imag(), zs[b].real())[k][w].copy()
        else:
            zs[a][v] = zs[b][w].times(np.cos(rs[k][v])).plus(rs[1 - k][w] * 0.5)


def on_wholes(program, matrix):
    def loss(z, r):
        zs = [Whole(z.copy()), Whole(z * 1j), Whole(np.zeros(N, complex))]
        rs = [r, r[::-1] + 1]
        zs[2].z[:] = r
        run(program, zs, rs, matrix)
        return sum((x.z.real * (k + 1) + x.z.imag * x.z.imag).sum() for k, x in enumerate(zs)) + (rs[0] * rs[1]).sum()

    return loss


def real_function(program, matrix):
    """The same of real numbers, which are made complex inside."""

    def f(r):
        zs = [Whole(r * (1 + 0.5j)), Whole(np.exp(1j * r)), Whole(np.zeros(N, complex))]
        rs = [r.copy(), r[::-1] + 1]
        run(program, zs, rs, matrix)
        return np.concatenate([*(x.z.imag for x in zs), rs[0]])

    return f


def on_pairs(program, matrix):
    def loss(re, im, r):
        zs = [Pair(re.copy(), im.copy()), Pair(-im, re * 1.0), Pair(np.zeros(N), np.zeros(N))]
        rs = [r, r[::-1] + 1]
        zs[2].re[:] = r
        run(program, zs, rs, matrix)
        return sum((x.re * (k + 1) + x.im * x.im).sum() for k, x in enumerate(zs)) + (rs[0] * rs[1]).sum()

    return loss
