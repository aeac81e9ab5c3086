"""POLLU: the chemistry of polluted air, 25 reactions between 20 species, written as scalar code.

The right-hand side unpacks the state into scalars, computes 25 reaction rates, and writes 20 entries one by one; the
rate constants span fifteen orders of magnitude. `sparsead.jacobian` takes it as it is, and gives SciPy's Radau and
BDF the exact sparse Jacobian. The concentrations after 60 minutes must agree with the published reference solution
to 6 digits. The same is asked of a run with SciPy's finite differences, so that the equations, the integrator and
the Jacobian are checked apart.

References: J. G. Verwer, "Gauss-Seidel iteration for stiff ODEs from chemical kinetics", SIAM Journal on Scientific
Computing 15(5), 1994, 1243-1259. The equations and the reference solution are those of problem POLLU in F. Mazzia and
C. Magherini, "Test Set for Initial Value Problem Solvers", release 2.4, University of Bari, 2008 (computed there with
RADAU5 at a tolerance of 1.1e-18).
"""

import argparse

import numpy as np
from scipy.integrate import solve_ivp

import sparsead

SPECIES = "NO2 NO O3P O3 HO2 OH HCHO CO ALD MEO2 C2O3 CO2 PAN CH3O HNO3 O1D SO2 SO4 NO3 N2O5".split()

Y0 = np.zeros(20)  # ppm
Y0[[1, 3, 6, 7, 8, 16]] = 0.2, 0.04, 0.1, 0.3, 0.01, 0.007

REFERENCE = np.array(  # ppm, after 60 minutes
    [
        0.5646255480022769e-01, 0.1342484130422339e00, 0.4139734331099427e-08, 0.5523140207484359e-02,
        0.2018977262302196e-06, 0.1464541863493966e-06, 0.7784249118997964e-01, 0.3245075353396018e00,
        0.7494013383880406e-02, 0.1622293157301561e-07, 0.1135863833257075e-07, 0.2230505975721359e-02,
        0.2087162882798630e-03, 0.1396921016840158e-04, 0.8964884856898295e-02, 0.4352846369330103e-17,
        0.6899219696263405e-02, 0.1007803037365946e-03, 0.1772146513969984e-05, 0.5682943292316392e-04,
    ]
)  # fmt: skip


def pollu(t, y, dy):
    """Write the rates of change (ppm/min) of the 20 concentrations ``y`` (ppm) into ``dy``."""
    no2, no, o3p, o3, ho2, oh, hcho, co, ald, meo2, c2o3, co2, pan, ch3o, hno3, o1d, so2, so4, no3, n2o5 = y  # noqa: RUF059

    r1 = 0.35 * no2
    r2 = 26.6 * no * o3
    r3 = 1.23e4 * ho2 * no
    r4 = 8.6e-4 * hcho
    r5 = 8.2e-4 * hcho
    r6 = 1.5e4 * hcho * oh
    r7 = 1.3e-4 * ald
    r8 = 2.4e4 * ald * oh
    r9 = 1.65e4 * c2o3 * no
    r10 = 9.0e3 * c2o3 * no2
    r11 = 0.022 * pan
    r12 = 1.2e4 * meo2 * no
    r13 = 1.88 * ch3o
    r14 = 1.63e4 * no2 * oh
    r15 = 4.8e6 * o3p
    r16 = 3.5e-4 * o3
    r17 = 0.0175 * o3
    r18 = 1.0e8 * o1d
    r19 = 4.44e11 * o1d
    r20 = 1.24e3 * so2 * oh
    r21 = 2.1 * no3
    r22 = 5.78 * no3
    r23 = 0.0474 * no2 * o3
    r24 = 1.78e3 * no3 * no2
    r25 = 3.12 * n2o5

    dy[0] = -r1 - r10 - r14 - r23 - r24 + r2 + r3 + r9 + r11 + r12 + r22 + r25
    dy[1] = -r2 - r3 - r9 - r12 + r1 + r21
    dy[2] = -r15 + r1 + r17 + r19 + r22
    dy[3] = -r2 - r16 - r17 - r23 + r15
    dy[4] = -r3 + 2 * r4 + r6 + r7 + r13 + r20
    dy[5] = -r6 - r8 - r14 - r20 + r3 + 2 * r18
    dy[6] = -r4 - r5 - r6 + r13
    dy[7] = r4 + r5 + r6 + r7
    dy[8] = -r7 - r8
    dy[9] = -r12 + r7 + r9
    dy[10] = -r9 - r10 + r8 + r11
    dy[11] = r9
    dy[12] = -r11 + r10
    dy[13] = -r13 + r12
    dy[14] = r14
    dy[15] = -r18 - r19 + r16
    dy[16] = -r20
    dy[17] = r20
    dy[18] = -r21 - r22 - r24 + r23 + r25
    dy[19] = -r25 + r24


def fun(t, y):
    """Return the rates of change, as SciPy wants them."""
    dy = np.empty_like(y)
    pollu(t, y, dy)
    return dy


def integrate(method, rtol, **how):
    """Concentrations after 60 minutes. The smallest is 4e-18 ppm, hence an absolute tolerance far below it."""
    solution = solve_ivp(fun, (0, 60), Y0, method=method, t_eval=[60], rtol=rtol, atol=1e-25, **how)
    if not solution.success:
        raise RuntimeError(f"{method}: {solution.message}")
    return solution.y[:, -1]


def relative_difference(y):
    return np.abs(y - REFERENCE) / REFERENCE


def pattern_as_text(pattern):
    """Draw a 20 x 20 sparse pattern, one row per equation and one column per unknown."""
    entries = pattern.toarray() != 0
    header = " " * 9 + "".join(f"{j:3d}" for j in range(1, 21))
    rows = (f"{i:2d} {SPECIES[i - 1]:6}" + "".join("  x" if e else "  ." for e in entries[i - 1]) for i in range(1, 21))
    return "\n".join([header, *rows])


def print_pattern(jac):
    pattern, coloring = jac.pattern, jac.coloring
    inert = [name for name, column in zip(SPECIES, pattern.toarray().T, strict=True) if not column.any()]
    print("POLLU, the pattern of the Jacobian: which rate of change depends on which concentration")
    print(pattern_as_text(pattern))
    print(f"{pattern.nnz} entries, {coloring.count} colours ({coloring.partition}s)")
    print(f"{', '.join(inert)} feed no reaction; with their diagonal places it is {pattern.nnz + len(inert)} entries")


def print_table(runs):
    """``runs`` maps (method, source of the Jacobian) to the concentrations at the end."""
    value = next(iter(runs.values()))
    away = [relative_difference(y) for y in runs.values()]
    print("\nConcentrations after 60 minutes in ppm, and relative differences from the published reference")
    print(" " * 52 + "".join(f"{method:>13}" for method, source in runs))
    print(f"{'':6} {'computed':>22} {'reference':>22}" + "".join(f"{source:>13}" for method, source in runs))
    for i, name in enumerate(SPECIES):
        print(f"{name:6} {value[i]:22.15e} {REFERENCE[i]:22.15e}" + "".join(f"{a[i]:13.1e}" for a in away))


def verdict(runs):
    """Say which runs have the reference's six digits, and return their largest relative differences."""
    worst = {run: float(relative_difference(y).max()) for run, y in runs.items()}
    print()
    for (method, source), difference in worst.items():
        answer = "all 20 species agree to 6 digits" if difference < 1e-6 else "NO agreement to 6 digits"
        print(f"{method:5} with Jacobian by {source:11}: {answer} (largest relative difference {difference:.1e})")
    return worst


def main(argv=None):
    """Integrate with both Jacobians; return the largest relative differences and the number of entries."""
    parser = argparse.ArgumentParser(description="POLLU, air pollution, with sparsead's sparse Jacobian")
    parser.add_argument("--rtol", type=float, default=1e-9, help="relative tolerance (1e-9)")
    args = parser.parse_args(argv)

    jac = sparsead.jacobian(pollu, wrt="y", of="dy", format="csc")
    dy = np.empty_like(Y0)
    jac.prepare(0.0, Y0, dy)
    print_pattern(jac)

    runs = {}
    for method in ("Radau", "BDF"):
        runs[method, "sparsead"] = integrate(method, args.rtol, jac=lambda t, y: jac(t, y, dy))
        runs[method, "differences"] = integrate(method, args.rtol)
    print_table(runs)
    return {"worst": verdict(runs), "nnz": jac.pattern.nnz}


if __name__ == "__main__":
    main()
