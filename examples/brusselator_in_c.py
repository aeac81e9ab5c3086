"""The Jacobian of the 2-D Brusselator, written as C, and a time integrator in C that uses it and knows nothing of Python.

`sparsead.export_c` writes two functions: the right-hand side, which is the value of a `sparsead.jvp`, and its sparse
Jacobian. The problem is that of `brusselator.py` without the forcing in time. A solver in C takes linearly implicit
Euler steps with them,

    (I - dt J(y)) k = f(t, y),    y + dt k,

where the linear systems are solved by BiCGSTAB. The same steps are then taken in Python with SciPy's sparse LU, and
the results are compared.

References: E. Hairer and G. Wanner, "Solving Ordinary Differential Equations II", 2nd edition, 1996, section IV.7;
H. A. van der Vorst, "Bi-CGSTAB", SIAM J. Sci. Stat. Comput. 13 (1992), doi:10.1137/0913035.
"""

import argparse
import os
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.sparse import eye_array
from scipy.sparse.linalg import splu

import sparsead

SOLVER = r"""
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "brusselator.h"
#include "brusselator_jac.h"

enum { N = BRUSSELATOR_JAC_ROWS };
static double values[BRUSSELATOR_JAC_NNZ], y[N], f[N], k[N], none[N], unused[N];
static double r[N], s[N], p[N], v[N], t[N], shadow[N];

static double dot(const double *a, const double *b)
{
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += a[i] * b[i];
    return sum;
}

/* out = (I - dt J) x, J compressed by rows */
static void multiply(double dt, const double *x, double *out)
{
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int32_t e = brusselator_jac_indptr[i]; e < brusselator_jac_indptr[i + 1]; e++)
            sum += values[e] * x[brusselator_jac_indices[e]];
        out[i] = x[i] - dt * sum;
    }
}

/* (I - dt J) k = f by BiCGSTAB; the number of steps, or -1 */
static int solve(double dt)
{
    double rho = 1, alpha = 1, omega = 1;
    memset(k, 0, sizeof k);
    memset(p, 0, sizeof p);
    memset(v, 0, sizeof v);
    memcpy(r, f, sizeof r);
    memcpy(shadow, f, sizeof shadow);
    const double small = 1e-13 * sqrt(dot(f, f));
    for (int step = 1; step < 1000; step++) {
        const double before = rho;
        rho = dot(shadow, r);
        const double beta = rho / before * (alpha / omega);
        for (int i = 0; i < N; i++)
            p[i] = r[i] + beta * (p[i] - omega * v[i]);
        multiply(dt, p, v);
        alpha = rho / dot(shadow, v);
        for (int i = 0; i < N; i++)
            s[i] = r[i] - alpha * v[i];
        multiply(dt, s, t);
        omega = dot(t, s) / dot(t, t);
        for (int i = 0; i < N; i++) {
            k[i] += alpha * p[i] + omega * s[i];
            r[i] = s[i] - omega * t[i];
        }
        if (sqrt(dot(r, r)) <= small)
            return step;
    }
    return -1;
}

int main(int argc, char **argv)
{
    const int steps = argc > 2 ? atoi(argv[1]) : 0;
    const double dt = argc > 2 ? atof(argv[2]) : 0;
    void *of_value = malloc(brusselator_workspace_size()), *of_jac = malloc(brusselator_jac_workspace_size());
    if (!of_value || !of_jac || fread(y, sizeof *y, N, stdin) != N)
        return 2;
    for (int step = 0; step < steps; step++) {
        const int status = brusselator(step * dt, y, none, none, f, unused, of_value);
        if (status || brusselator_jac(step * dt, y, values, of_jac) || solve(dt) < 0) {
            fprintf(stderr, "step %d failed, status %d\n", step, status);
            return 1;
        }
        for (int i = 0; i < N; i++)
            y[i] += dt * k[i];
    }
    free(of_value);
    free(of_jac);
    return fwrite(y, sizeof *y, N, stdout) != N;
}
"""


def brusselator(n, alpha=0.1):
    """Right-hand side ``rhs(t, y, dy)`` on an n x n periodic grid, and the initial values, of shape (2 n^2,)."""
    diffusion = alpha * n**2
    gx = np.arange(n) / n

    def spread(w, out):
        out[:] = np.roll(w, 1, 0) + np.roll(w, -1, 0) + np.roll(w, 1, 1) + np.roll(w, -1, 1) - 4 * w

    def rhs(t, y, dy):
        u, v = y.reshape(2, n, n)
        du, dv = dy.reshape(2, n, n)
        spread(u, du)
        spread(v, dv)
        dy *= diffusion
        reaction = u * u * v
        du += 1 + reaction - 4.4 * u
        dv += 3.4 * u - reaction

    y0 = np.empty((2, n, n))
    y0[0], y0[1] = 22 * (gx * (1 - gx) ** 1.5)[:, None], 27 * gx * (1 - gx) ** 1.5
    return rhs, y0.ravel()


def build(rhs, y0, folder):
    """Write both functions and the solver, and compile them."""
    dy = np.empty_like(y0)
    value = sparsead.jvp(rhs, wrt="y", of="dy").prepare(0.0, y0, dy)
    jac = sparsead.jacobian(rhs, wrt="y", of="dy").prepare(0.0, y0, dy)
    sources = [sparsead.export_c(value, "brusselator", folder)[0], sparsead.export_c(jac, "brusselator_jac", folder)[0]]
    solver = Path(folder) / "solver.c"
    solver.write_text(SOLVER, encoding="utf-8")
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    program = Path(folder) / "solver"
    flags = "-std=c99 -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math".split()
    subprocess.run([*compiler, *flags, "-o", program, solver, *sources, "-lm"], check=True)
    return program, jac


def in_python(rhs, jac, y, steps, dt):
    """The same steps, with SciPy's LU."""
    f, y = np.empty_like(y), y.copy()
    for step in range(steps):
        rhs(step * dt, y, f)
        matrix = eye_array(y.size, format="csc") - dt * jac(step * dt, y, f).tocsc()
        y += dt * splu(matrix).solve(f)
    return y


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=32, help="points of the grid in each direction")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--dt", type=float, default=0.01)
    parser.add_argument("--directory", help="where the sources stay; else they are temporary")
    given = parser.parse_args(arguments)
    rhs, y0 = brusselator(given.n)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.directory or temporary
        program, jac = build(rhs, y0, folder)
        begin = perf_counter()
        command = [program, str(given.steps), repr(given.dt)]
        done = subprocess.run(command, input=y0.tobytes(), capture_output=True, check=True)
        seconds = perf_counter() - begin
        lines = sum(len(path.read_text().splitlines()) for path in Path(folder).glob("brusselator*.[ch]"))
    found = np.frombuffer(done.stdout)
    begin = perf_counter()
    expected = in_python(rhs, jac, y0, given.steps, given.dt)
    python_seconds = perf_counter() - begin
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"{jac.pattern.shape[0]} unknowns, {jac.pattern.nnz} entries in the Jacobian; {lines} lines of C")
    print(f"{given.steps} steps: {seconds:.3f} s in C, {python_seconds:.3f} s in Python; relative difference {difference:.1e}")
    return {"difference": difference, "y": found}


if __name__ == "__main__":
    main()
