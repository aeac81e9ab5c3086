"""The losses of published.py for JAX: without writes into arrays, loops as `fori_loop` or `scan`.

Each function here returns ``f``, to be called with the same arguments. JAX is optional: ``pip install "sparsead[bench]"``.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import published

jax.config.update("jax_enable_x64", True)


def jacobi_2d(size):
    trips = {"S": 50, "M": 80}[size]

    def average(a, b):
        middle = 0.2 * (a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1])
        return b.at[1:-1, 1:-1].set(middle)

    def trip(_, arrays):
        a, b = arrays
        b = average(a, b)
        return average(b, a), b

    def loss(a, b):
        a, b = lax.fori_loop(0, trips - 1, trip, (a, b))
        return jnp.sum(a**2) + jnp.sum(b**2)

    return loss


def seidel_2d(size):
    trips = {"S": 8, "M": 15}[size]

    def row(above, pair):
        """The new row from the new one above it: the part that is known, then the recurrence along it."""
        old, below = pair
        known = old[1:-1] + above[:-2] + above[1:-1] + above[2:] + old[2:] + below[:-2] + below[1:-1] + below[2:]
        _, inner = lax.scan(lambda left, x: ((left + x) / 9.0,) * 2, old[0], known)
        new = old.at[1:-1].set(inner)
        return new, new

    def trip(_, a):
        _, rows = lax.scan(row, a[0], (a[1:-1], a[2:]))
        return a.at[1:-1].set(rows)

    return lambda a: jnp.sum(lax.fori_loop(0, trips - 1, trip, a) ** 2)


def adi(size):
    trips, n = {"S": (5, 100), "M": (20, 200)}[size]
    along, across = 2.0 * n * n / trips, 1.0 * n * n / trips
    a, b, d, e = -along / 2, 1 + across, -across / 2, 1 + across

    def sweep(known, out, off, diagonal, other):
        right = -other * known[:-2, 1:-1] + (1 + 2 * other) * known[1:-1, 1:-1] - other * known[2:, 1:-1]

        def eliminate(before, r):
            p, q = before
            pivot = off * p + diagonal
            return (-off / pivot, (r - off * q) / pivot), (-off / pivot, (r - off * q) / pivot)

        ones = jnp.ones(n - 2)
        _, (p, q) = lax.scan(eliminate, (jnp.zeros(n - 2), ones), right.T)
        _, inner = lax.scan(lambda after, pq: (pq[0] * after + pq[1],) * 2, ones, (p, q), reverse=True)
        return out.at[1:-1, 1:-1].set(inner).at[0, 1:-1].set(1.0).at[-1, 1:-1].set(1.0)

    def trip(_, arrays):
        u, v = arrays
        v = sweep(u.T, v, a, b, d)
        return sweep(v, u.T, d, e, a).T, v

    return lambda u: jnp.sum(lax.fori_loop(0, trips, trip, (u, jnp.zeros_like(u)))[0] ** 2)


def hdiff(size):
    def limited(flux, slope):
        return jnp.where(flux * slope > 0, 0, flux)

    def loss(x, coefficient):
        laplacian = 4 * x[1:-1, 1:-1] - (x[2:, 1:-1] + x[:-2, 1:-1] + x[1:-1, 2:] + x[1:-1, :-2])
        east = limited(laplacian[1:, 1:-1] - laplacian[:-1, 1:-1], x[2:-1, 2:-2] - x[1:-2, 2:-2])
        north = limited(laplacian[1:-1, 1:] - laplacian[1:-1, :-1], x[2:-2, 2:-1] - x[2:-2, 1:-2])
        out = x[2:-2, 2:-2] - coefficient * (east[1:] - east[:-1] + north[:, 1:] - north[:, :-1])
        return jnp.sum(out**2)

    return loss


def vadv(size):
    rate = 3 / 20

    def loss(stage_tendency, stage, wind, position, tendency):
        level = lambda x: jnp.moveaxis(x, 2, 0)  # the axis of the recurrence first
        stage, wind = level(stage), 0.25 * level(wind[1:] + wind[:-1])
        base = level(rate * position + tendency + stage_tendency)
        zero = jnp.zeros_like(stage[:1])
        lower, upper = -0.5 * wind, 0.5 * jnp.concatenate([wind[1:], zero])
        lower = lower.at[0].set(0.0)
        up, down = jnp.concatenate([zero, stage[:-1] - stage[1:]]), jnp.concatenate([stage[1:] - stage[:-1], zero])

        def eliminate(before, level):
            c, r = before
            low, high, known = level
            pivot = 1 / (rate - low - high - c * low)
            now = high * pivot, (known - r * low) * pivot
            return now, now

        right = base - lower * up - upper * down
        _, (c, r) = lax.scan(eliminate, (zero[0], zero[0]), (lower, upper, right))

        def substitute(after, level):
            c, r = level
            return (r - c * after,) * 2

        _, x = lax.scan(substitute, zero[0], (c, r), reverse=True)
        return jnp.sum((rate * (x - level(position))) ** 2)

    return loss


def gmm(points=1000, dimension=10, components=25):
    data = np.random.default_rng(0).normal(size=(points, dimension))  # as in published.gmm
    columns, rows = np.triu_indices(dimension, 1)
    constant = published.gmm_constant(points, dimension, components)

    def logsumexp(t):
        top = jnp.max(t, axis=-1, keepdims=True)
        return jnp.log(jnp.sum(jnp.exp(t - top), axis=-1)) + top[..., 0]

    def loss(alphas, means, factors):
        logs, below = factors[:, :dimension], factors[:, dimension:]
        diagonal, sums = jnp.exp(logs), jnp.sum(logs, axis=1)
        lower = jnp.zeros((components, dimension, dimension)).at[:, rows, columns].set(below)
        centred = data[:, None] - means
        scaled = diagonal * centred + jnp.einsum("kij,nkj->nki", lower, centred)
        terms = alphas + sums - 0.5 * jnp.sum(scaled**2, axis=2)
        penalty = 0.5 * (jnp.sum(diagonal**2) + jnp.sum(below**2))
        return constant + jnp.sum(logsumexp(terms)) - points * logsumexp(alphas) + penalty

    return loss
