"""What the composites are tried on: f is NumPy's function or ours, x makes arrays (see `Arguments`)."""

import itertools
from functools import partial

import numpy as np


def grid(case, **choices):
    """The case for every combination of keyword arguments."""
    return [
        partial(case, **dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values())
    ]


# -- cases: f is NumPy's function or ours, x makes arrays

NONE_AND_AXES = [None, 0, 1, -1, (0,), (0, 2), (-1, 0), ()]
SPLITS = [1, 2, [1, 3], [2], [0, 5, 9], np.array([1, 2])]
REDUCTION = grid(lambda f, x, axis, keep: f(x(2, 3, 4), axis=axis, keepdims=keep), axis=NONE_AND_AXES,
    keep=[False, True])
REDUCTION += [
    lambda f, x: f(x()),
    lambda f, x: f(x(1)),
    lambda f, x: f(x(5)),
    lambda f, x: f([[1.0, 2.0], [3.0, 4.0]], 0),
    lambda f, x: f(x(2, 0, 3), axis=(0, 2)),
]
WITH_OUT = [
    lambda f, x: f(x(2, 3), axis=0, out=x.out(3)),
    lambda f, x: f(x(2, 3), axis=1, out=x.out(2)),
    lambda f, x: f(x(2, 3), out=x.out()),
]
WITH_DTYPE = grid(lambda f, x, dtype: f(x(3, 4), axis=1, dtype=dtype), dtype=["f8", "f4", np.float64])
WITH_WHERE = [
    lambda f, x: f(x(3, 4), where=x.mask(3, 4)),
    lambda f, x: f(x(3, 4), axis=1, where=x.mask(3, 1)),
    lambda f, x: f(x(3, 4), axis=0, keepdims=True, where=x.mask(4)),
]
WITH_INITIAL = [
    lambda f, x: f(x(3, 4), initial=2),
    lambda f, x: f(x(3, 4), axis=1, initial=1.5, where=x.mask(3, 4)),
    lambda f, x: f(x(0, 3), axis=0, initial=0),
]
VARIANCES = [
    lambda f, x: f(x(3, 4), ddof=1),
    lambda f, x: f(x(3, 4), axis=0, ddof=4),
    lambda f, x: f(x(3, 4), axis=1, correction=1),
    lambda f, x: f(x(3, 4), axis=1, ddof=1, where=x.mask(3, 4)),
    lambda f, x: f(x(3, 4), axis=1, mean=x(3, 1)),
    lambda f, x: f(x(3, 4) * 0, axis=1),
]
NAN = grid(lambda f, x, axis, keep: f(x.with_nan(3, 2, 4), axis=axis, keepdims=keep), axis=NONE_AND_AXES[:-1],
    keep=[False, True])
NAN += [
    lambda f, x: f(x(3, 4), axis=1),
    lambda f, x: f(x.with_nan(3, 4), axis=0, out=x.out(4, dtype="f8")),
    lambda f, x: f(x.given([np.nan, np.nan], "f8")),
    lambda f, x: f(x.given([[np.nan, 1], [np.nan, np.nan], [-np.inf, np.nan]], "f8"), axis=1),
    lambda f, x: f(x.with_nan(3, 4), axis=0, where=x.mask(3, 4)) if f.__name__ not in ("nanmax", "nanmin") else 0,
]
SCAN = grid(lambda f, x, axis: f(x(2, 3, 4), axis=axis), axis=[None, 0, 1, -1])
SCAN += [
    lambda f, x: f(x()),
    lambda f, x: f(x(), axis=0),
    lambda f, x: f(x(2, 0), axis=0),
    lambda f, x: f(x(2, 3), axis=0, dtype="f8"),
    lambda f, x: f(x(2, 3), axis=1, out=x.out(2, 3)),
    lambda f, x: f([1, 2, 3]),
]
AS_SPLIT = grid(lambda f, x, parts: f(x(4, 6, 2), parts), parts=SPLITS)
# Integers, so that they are themselves in every dtype; regular, and of both signs of the determinant.
REGULAR = np.array([[[4, 1, 0], [2, 5, 1], [-1, 3, 6]], [[0, 2, 1], [3, 1, -1], [1, 4, 7]]])
MATRICES = [
    lambda f, x: f(x.given(REGULAR[0])),
    lambda f, x: f(x.given(REGULAR)),
    lambda f, x: f(x.given(REGULAR[:, None, 1:, :2])),
    lambda f, x: f(x.given([[5]])),
    lambda f, x: f(x.given(np.zeros((2, 0, 0)))),
]
SYSTEMS = [
    lambda f, x: f(x.given(REGULAR[0]), x(3)),
    lambda f, x: f(x.given(REGULAR[0]), x(3, 2)),
    lambda f, x: f(x.given(REGULAR), x(3)),
    lambda f, x: f(x.given(REGULAR), x(3, 4)),
    lambda f, x: f(x.given(REGULAR), x(2, 3, 2)),
    lambda f, x: f(x.given(REGULAR[0]), x(4, 3, 1)),
    lambda f, x: f(x.given(REGULAR[:, None]), x(4, 3, 2)),
    lambda f, x: f(REGULAR[0], x(3)),
    lambda f, x: f(x.given(REGULAR[0]), [1, 2, 3]),
    lambda f, x: f(x.given(REGULAR[0]), x(3, 0)),
    lambda f, x: f(x.given(np.zeros((0, 0))), x(0)),
]
STACKED = [
    lambda f, x: f((x(3), x(3))),
    lambda f, x: f([x(2, 3), x(2, 3)]),
    lambda f, x: f((x(2, 3, 4), x(2, 3, 4))),
    lambda f, x: f(x(2, 3, 4)),
    lambda f, x: f((x(), 2.0)),
    lambda f, x: f(([1, 2], x(2))),
]
ORDER_STATISTIC = grid(
    lambda f, x, axis, keep: f(x(3, 4, 2), axis=axis, keepdims=keep), axis=NONE_AND_AXES[:-1], keep=[False, True]
)
FRACTIONS = [0, 1, 0.5, 0.3, np.float64(0.3), [0.25, 0.5], [[0.0, 0.1], [0.9, 1.0]], np.array([], float)]
QUANTILES = [
    *grid(
        lambda f, x, q, axis, keep: f(x(3, 4, 2), q, axis=axis, keepdims=keep),
        q=FRACTIONS, axis=[None, 0, -1, (0, 2)], keep=[False, True],
    ),
    *grid(
        lambda f, x, n, q, method: f(x.distinct(n), q, method=method),
        n=[1, 2, 5, 8], q=[0.0, 0.1, 0.125, 0.5, 0.75, 1.0], method=[
            "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen",
            "weibull", "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
        ],
    ),
    lambda f, x: f(x.with_nan(4, 5), [0.1, 0.5], axis=1),
    lambda f, x: f(x(4, 5), 0.5, axis=1, out=x.out(4, dtype="f8")),
]  # fmt: skip
GRADIENTS = [
    *grid(lambda f, x, axis, order: f(x(4, 5, 3), axis=axis, edge_order=order),
        axis=[None, 0, -1, (0, 2)], order=[1, 2]),
    *grid(lambda f, x, order: f(x(5), np.cumsum(1 + np.arange(5.0) ** 2), edge_order=order), order=[1, 2]),
    *grid(lambda f, x, order: f(x(5), np.arange(5), edge_order=order), order=[1, 2]),
    lambda f, x: f(x(5), 0.25),
    lambda f, x: f(x(5), x.distinct(5)),
    lambda f, x: f(x(3, 4), 2, [0.0, 1.0, 3.0, 4.0]),
    lambda f, x: f(x(3, 4), 0.5, axis=1),
    lambda f, x: f(x(2)),
]
PADS = [
    *grid(
        lambda f, x, mode, width: f(x(3, 4), width, mode=mode),
        mode=["constant", "edge", "linear_ramp", "maximum", "mean", "median", "minimum", "reflect", "symmetric",
            "wrap"],
        width=[0, 1, 2, (1, 2), ((0, 1), (3, 0)), ((2,), (1,)), 7],
    ),
    *grid(
        lambda f, x, mode, kind: f(x(4, 3), ((1, 2), (2, 1)), mode=mode, reflect_type=kind),
        mode=["reflect", "symmetric"], kind=["even", "odd"],
    ),
    *grid(
        lambda f, x, mode, length: f(x(5, 4), 2, mode=mode, stat_length=length),
        mode=["maximum", "mean", "median", "minimum"], length=[None, 1, 2, 9, ((1, 2), (3, 4))],
    ),
    *grid(lambda f, x, mode: f(x(1), 3, mode=mode), mode=["edge", "reflect", "symmetric", "wrap", "mean"]),
    *grid(lambda f, x, values: f(x(2, 3), 1, constant_values=values),
        values=[2, 1.5, (1, 2), ((1, 2), (3, 4)), ((1,), (2,))]),
    *grid(lambda f, x, values: f(x(2, 3), 3, "linear_ramp", end_values=values),
        values=[2, (1, -2.5), ((1, 2), (3, 4))]),
    *grid(lambda f, x, mode: f(x(0, 3), ((0, 0), (1, 1)), mode=mode), mode=["constant", "edge", "wrap", "mean"]),
    lambda f, x: f(x(0), 2, "constant"),
    lambda f, x: f(x(), 0),
    lambda f, x: f(x(2, 3), 0, "empty"),
    lambda f, x: f(x(2, 3, 4), ((0, 0), (1, 0), (0, 2))),
    lambda f, x: f([1.0, 2.0], 1, "edge"),
]  # fmt: skip
MATRIX_PRODUCTS = grid(
    lambda f, x, shapes: f(*(x(*shape) for shape in shapes)),
    shapes=[
        [(3,), (3,)], [(2, 3), (3,)], [(3,), (3, 4)], [(2, 3), (3, 4)], [(5, 2, 3), (3, 4)], [(2, 3), (5, 3, 4)],
        [(5, 2, 3), (5, 3, 4)], [(5, 2, 3), (1, 3, 4)], [(1, 2, 3), (5, 3, 4)], [(6, 1, 2, 3), (5, 3, 4)],
        [(1, 1, 2, 3), (1, 3, 4)], [(2, 0), (0, 3)], [(0, 3), (3, 2)], [(1, 1), (1, 1)], [(5, 2, 3), (3,)],
    ],
)  # fmt: skip
PUTS = [
    lambda f, x: f(x(3, 4), [0, 5, -1], [1, 2, 3]),
    lambda f, x: f(x(3, 4), [[0, 5], [2, 5]], 7),
    lambda f, x: f(x(3, 4), x.integers(0, 12, 5), x(2)),
    lambda f, x: f(x(3, 4), [1, 2], x(5)),
    lambda f, x: f(x(6), 2, 1),
    lambda f, x: f(x(3, 4), [1], []),
    lambda f, x: f(x(3, 4), [], 1),
    *grid(lambda f, x, mode: f(x(3, 4), [0, 50, -30], [1, 2, 3], mode=mode), mode=["wrap", "clip"]),
]
TAKES = [
    *grid(
        lambda f, x, axis, indices: f(x(4, 5, 6), indices, axis=axis),
        axis=[None, 0, 1, -1], indices=[2, -1, [0, 3, 3], [[0, 1], [2, -1]], [], np.int64(1)],
    ),
    *grid(lambda f, x, mode, axis: f(x(4, 5), [-9, 2, 7], axis, mode=mode), mode=["wrap", "clip"], axis=[None, 1]),
    lambda f, x: f(x(), [0, 0]),
    lambda f, x: f(x(4, 5), x.integers(0, 4, 2, 2), axis=0),
    lambda f, x: f(x(4, 5), x.mask(3)),
    lambda f, x: f(x(4, 5), [1, 2], 1, x.out(4, 2)),
]  # fmt: skip
REPEATS = [
    *grid(lambda f, x, axis: f(x(2, 3, 2), 3, axis=axis), axis=[None, 0, 1, -1]),
    lambda f, x: f(x(2, 3), [1, 2, 0], axis=1),
    lambda f, x: f(x(2, 3), x.integers(0, 3, 6)),
    lambda f, x: f(x(2, 3), [2], 0),
    lambda f, x: f(x(), 4),
    lambda f, x: f(x(2), 0),
    lambda f, x: f(x(0), 2),
]
CLIPS = [
    lambda f, x: f(x(3, 4), -1, 1),
    lambda f, x: f(x(3, 4), x(4) - 3, x(3, 1) + 3),
    lambda f, x: f(x(3, 4), None, 0.5),
    lambda f, x: f(x(3, 4), -0.5, None),
    lambda f, x: f(x(3, 4), None, None),
    lambda f, x: f(x(3, 4), -1, 2, out=x.out(3, 4)),
    lambda f, x: f(x(3, 4), min=-1, max=2),
    lambda f, x: f(x.with_nan(3, 4), -1, 1),
    lambda f, x: f(x.given([1, 200], "u1"), -1, 300),
    lambda f, x: f(x(3), [0, 1, 2], [1.0, 2.0, 3.0]),
]
ROUNDS = [
    *grid(lambda f, x, decimals: f(x(3, 4), decimals), decimals=[0, 1, 2, -1]),
    lambda f, x: f(x(3, 4) * 12.345, 1, x.out(3, 4, dtype=np.result_type(x.dtype, 1.0))),
    lambda f, x: f(x()),
    lambda f, x: f(x.given([0.5, 1.5, -0.5, 2.5], "f8")),
]
EINSUMS = [
    *grid(
        lambda f, x, subscripts: f(subscripts, x(3, 4), x(4, 3)),
        subscripts=["ij,jk", "ij,jk->ik", "ij,jk->ki", "ij,ji->", "ij,ji", "ij,jk->ijk", " ij , jk -> i k",
            "...j,jk->...k", "ba,ac"],
    ),
    *grid(
        lambda f, x, subscripts: f(subscripts, x(3, 3, 2)),
        subscripts=["iij->ij", "iij->ji", "iij", "ijk->kji", "ijk->", "ijk->j", "...k->k...", "i...->...i",
            "i...->...", "kji"],
    ),
    lambda f, x: f("iii->i", x(3, 3, 3)),
    lambda f, x: f("ij,ij->ij", x(3, 1), x(3, 4)),
    lambda f, x: f("...ij,...jk->...ik", x(2, 1, 3, 4), x(5, 4, 3)),
    lambda f, x: f("i,j,k->kji", x(2), x(3), x(4)),
    lambda f, x: f("i,i", x(3), x(3), out=x.out()),
    lambda f, x: f(x(3, 4), [0, 1], x(4, 2), [1, 2]),
    lambda f, x: f(x(3, 4), [0, 1], x(4, 2), [1, 2], [2, 0]),
    lambda f, x: f(x(5, 3, 4), [..., 0, 1], x(4, 2), [1, 2], [..., 2, 0]),
    lambda f, x: f("ij->ji", x(2, 3), dtype="f8"),
    lambda f, x: f(",i->i", x(), x(3)),
]
NORMS = [
    *grid(lambda f, x, order, keep: f(x(6), order, keepdims=keep),
        order=[None, 0, 1, 2, 3, 0.5, -1, -2, np.inf, -np.inf], keep=[False, True]),
    *grid(lambda f, x, order, keep: f(x(3, 4), order, keepdims=keep),
        order=[None, "fro", 1, -1, np.inf, -np.inf], keep=[False, True]),
    *grid(lambda f, x, order, axis: f(x(3, 4, 2), order, axis),
        order=[None, 1, -np.inf, np.inf], axis=[0, -1, (0, 1), (2, 0)]),
    lambda f, x: f(x(2, 3, 4)),
    lambda f, x: f(x(6) * 0),
    lambda f, x: f([3.0, 4.0]),
    lambda f, x: f(x.given([np.inf, -np.inf], "f8"), -2),
]

CASES = {
    "all": REDUCTION + WITH_WHERE + [lambda f, x: f(x(2, 3), axis=0, out=x.out(3, dtype=bool))],
    "any": REDUCTION + WITH_WHERE,
    "angle": [
        lambda f, x: f(x(3, 4)),
        lambda f, x: f(x(4), deg=True),
        lambda f, x: f(1j * x(3) + x(3)),
        lambda f, x: f(-1.0),
    ],
    "append": [
        *grid(lambda f, x, axis: f(x(2, 3), x(2, 3), axis), axis=[None, 0, 1, -1]),
        lambda f, x: f(x(3), 5.0),
        lambda f, x: f([1, 2], x(2, 2)),
    ],
    "argmax": grid(lambda f, x, axis, keep: f(x(3, 4), axis, keepdims=keep), axis=[None, 0, -1], keep=[False, True])
    + [lambda f, x: f(x(3, 4), 0, x.out(4, dtype=np.intp))],
    "argmin": [lambda f, x: f(x(3, 4)), lambda f, x: f(x(3, 4), 0, keepdims=True)],
    "argsort": grid(lambda f, x, axis: f(x.distinct(3, 4), axis),
        axis=[None, 0, -1]) + [lambda f, x: f(x(9), kind="stable")],
    "array_split": AS_SPLIT + grid(lambda f, x, axis: f(x(5, 3), 4, axis), axis=[0, 1, -1]),
    "atleast_1d": [lambda f, x: f(x()), lambda f, x: f(x(), x(2), x(2, 3)), lambda f, x: f(3.0), lambda f, x: f()],
    "atleast_2d": [lambda f, x: f(x()), lambda f, x: f(x(), x(2), x(2, 3)), lambda f, x: f([1.0, 2.0])],
    "atleast_3d": [lambda f, x: f(x()), lambda f, x: f(x(), x(2), x(2, 3), x(2, 3, 4, 5))],
    "average": [
        *REDUCTION[:16],
        *grid(lambda f, x, axis: f(x(3, 4), axis, x.positive(3, 4), returned=True), axis=[None, 0, 1, -1]),
        lambda f, x: f(x(3, 4), 1, x.positive(4), keepdims=True),
        lambda f, x: f(x(3, 4, 2), (2, 0), x.positive(2, 3), returned=True),
        lambda f, x: f(x(3, 4), returned=True),
    ],
    "block": [
        lambda f, x: f([x(2), x(3)]),
        lambda f, x: f([[x(2, 2), x(2, 3)], [x(1, 5)]]),
        lambda f, x: f([[x(2, 2), x(2, 1)], [x(2), 1.0]]),
        lambda f, x: f(x(2, 3)),
        lambda f, x: f([[[x(2, 2, 2)], [x(2, 1, 2)]]]),
        lambda f, x: f([x(3, 2, 2), x(3, 2, 1)]),
        lambda f, x: f([1, [2.0, x()]][1]),
    ],
    "broadcast_arrays": [
        lambda f, x: f(x(3, 1), x(4)),
        lambda f, x: f(x(3), x(3)),
        lambda f, x: f(x(), 2.0, [1, 2]),
        lambda f, x: f(),
    ],
    "broadcast_to": [
        lambda f, x: f(x(3, 1), (2, 3, 4)),
        lambda f, x: f(2.0, (2,)),
        lambda f, x: f(x(3), (3,)),
        lambda f, x: f(x(1), 4),
    ],
    "choose": [
        lambda f, x: f(x.integers(0, 3, 4), [x(4), x(4), x(4)]),
        lambda f, x: f(x.integers(0, 2, 3, 4), [x(4), 2.5]),
        lambda f, x: f([0, 1, 0], x(2, 3)),
        lambda f, x: f(1, [x(3), x(3)]),
        lambda f, x: f(1, [2.0, 3.0]),
        *grid(lambda f, x, mode: f([-7, 1, 5], [x(3), x(3)], mode=mode), mode=["wrap", "clip"]),
        lambda f, x: f([0, 1], [x(2), x(2)], x.out(2)),
    ],
    "clip": CLIPS,
    "column_stack": STACKED[:-2],
    "compress": [
        *grid(lambda f, x, axis: f([True, False, True], x(3, 4, 3), axis), axis=[0, 1, -1, None]),
        lambda f, x: f(x.mask(4), x(3, 4), axis=1),
        lambda f, x: f([0, 2.0, 1], x(3, 2), axis=0),
        lambda f, x: f([True, False, True, False], x(3), axis=0),
        lambda f, x: f([False, True], x(2, 3), 0, x.out(1, 3)),
    ],
    "concatenate": [
        *grid(lambda f, x, axis: f((x(2, 3, 4), x(2, 3, 4)), axis=axis), axis=[None, 0, 1, 2, -1]),
        lambda f, x: f([x(2, 3), x(0, 3), x(1, 3)]),
        lambda f, x: f((x(2), [1, 2], x.integers(0, 5, 3))),
        lambda f, x: f((x(2, 3), x(3, 2).T), axis=1),
        lambda f, x: f((x(2, 3, 4).transpose(2, 0, 1), x(4, 2, 3)), axis=0),
        lambda f, x: f((x(3, 1, 4), x(3, 1, 4)), axis=1),
        lambda f, x: f((x(2), x(3)), out=x.out(5)),
        lambda f, x: f((x(2), x(3)), dtype="f8"),
        lambda f, x: f((x(2), x(3)), dtype="f4", casting="unsafe"),
        lambda f, x: f(x(3, 2, 4), axis=1),
    ],
    "convolve": grid(
        lambda f, x, n, m, mode: f(x(n), x(m), mode), n=[1, 2, 7], m=[1, 4, 5], mode=["full", "same", "valid"]
    )
    + [lambda f, x: f(x(), x(3)), lambda f, x: f([1, 2, 3], x(2))],
    "copy": grid(lambda f, x, order: f(x(2, 3, 4), order), order=["K", "C", "F", "A"]),
    "copyto": [
        lambda f, x: f(x(3, 4), x(4)),
        lambda f, x: f(x(3, 4), 2),
        lambda f, x: f(x(3, 4), x(3, 4), where=x.mask(3, 4)),
        lambda f, x: f(x(3, 4), 5, where=x.mask(4)),
        lambda f, x: f(x(3, 4), x.with_nan(3, 4), "unsafe", x.mask(3, 1)),
        lambda f, x: f(x(3), x(1, 3)),
    ],
    "count_nonzero": REDUCTION,
    "correlate": grid(
        lambda f, x, n, m, mode: f(x(n), x(m), mode), n=[1, 2, 7], m=[1, 4, 5], mode=["full", "same", "valid"]
    )
    + [lambda f, x: f(1j * x(5) + x(5), 1j * x(3)), lambda f, x: f(1j * x(2) + x(2), 1j * x(4), "full")],
    "cross": [
        lambda f, x: f(x(3), x(3)),
        lambda f, x: f(x(4, 3), x(4, 3)),
        lambda f, x: f(x(3, 5), x(3), axisa=0, axisc=0),
        lambda f, x: f(x(3, 4, 2), x(3, 4, 2), axis=0),
        lambda f, x: f(x(4, 2), x(4, 2)),
        lambda f, x: f(x(2), x(2)),
        lambda f, x: f(x(4, 3), x(2)),
        lambda f, x: f(x(2), x(4, 3)),
    ],
    "cumprod": SCAN,
    "cumsum": SCAN,
    "cumulative_prod": [*SCAN[1:4], lambda f, x: f(x(4)), lambda f, x: f(x(2, 3), axis=1, include_initial=True)],
    "cumulative_sum": [
        *SCAN[1:4],
        lambda f, x: f(x(4)),
        lambda f, x: f(x(2, 3), axis=1, include_initial=True),
        lambda f, x: f(x(2, 3), axis=0, out=x.out(3, 3), include_initial=True),
    ],
    "delete": [
        *grid(
            lambda f, x, obj, axis: f(x(5, 5, 5), obj, axis),
            obj=[0, -1, 3, [1, 3], [], [2], slice(1, 3), slice(None, None, 2), slice(4, 1, -2), slice(3, 3), [1, 1]],
            axis=[None, 0, 1, -1],
        ),
        lambda f, x: f(x(4), [True, False, True, False]),
        lambda f, x: f(x(4), x.mask(4)),
        lambda f, x: f([1, 2, 3], 1),
    ],
    "diag": grid(lambda f, x, k: f(x(4), k), k=[0, 1, 3, -2]) + grid(lambda f, x, k: f(x(3, 4), k), k=[0, 2, -1, 9]),
    "diagflat": grid(lambda f, x, k: f(x(2, 2), k), k=[0, 1, -2]) + [lambda f, x: f(3.0), lambda f, x: f(x(0))],
    "diagonal": [
        *grid(lambda f, x, k: f(x(3, 4), k), k=[0, 1, -2]),
        lambda f, x: f(x(2, 3, 4), 1, 2, 0),
        lambda f, x: f(x(2, 3, 4), 0, -1, -2),
    ],
    "diff": [
        *grid(lambda f, x, n, axis: f(x(4, 3, 4), n, axis), n=[0, 1, 2, 5], axis=[0, 1, -1]),
        lambda f, x: f(x(3, 4), prepend=0, append=x(3, 2)),
        lambda f, x: f(x(3, 4), axis=0, append=x()),
        lambda f, x: f(x.mask(5)),
        lambda f, x: f([1.0, 4.0, 9.0]),
    ],
    "digitize": [
        *grid(lambda f, x, right: f(x(3, 4), [-2.0, 0, 1, 1, 2], right), right=[False, True]),
        *grid(lambda f, x, right: f(x(3, 4), [2.0, 0, -1], right), right=[False, True]),
        lambda f, x: f(0.5, [0, 1]),
    ],
    "dot": [
        *MATRIX_PRODUCTS[:6],
        *MATRIX_PRODUCTS[10:],
        lambda f, x: f(x(5, 2, 3), x(4, 3, 2)),
        lambda f, x: f(x(), x(2, 3)),
        lambda f, x: f(x(2, 3), 2.0),
        lambda f, x: f(x(), x()),
        lambda f, x: f(x(2, 3), x(3, 4), x.out(2, 4)) if x.layout == "C" else 0,
        lambda f, x: f(x(2, 3), np.arange(3)),
    ],
    "dsplit": grid(lambda f, x, parts: f(x(2, 3, 4), parts), parts=[2, [1, 3]]),
    "dstack": STACKED,
    "ediff1d": [
        lambda f, x: f(x(2, 3)),
        lambda f, x: f(x(5), 1, [2, 3]),
        lambda f, x: f(x(5), to_begin=x(2)),
        lambda f, x: f(x(0), to_end=1),
        lambda f, x: f(x(1)),
    ],
    "einsum": EINSUMS,
    "expand_dims": grid(lambda f, x, axis: f(x(2, 3), axis), axis=[0, 1, -1, (0, 3), (-1, 0)]),
    "extract": [
        lambda f, x: f(x.mask(3, 4), x(3, 4)),
        lambda f, x: f([1, 0, 1], x(5)),
        lambda f, x: f(x.mask(4), x(2, 2)),
    ],
    "fill_diagonal": [
        *grid(lambda f, x, shape, wrap: f(x(*shape), 5, wrap),
            shape=[(3, 3), (3, 5), (7, 3), (3, 3, 3)], wrap=[False, True]),
        lambda f, x: f(x(4, 4), [1, 2]),
        lambda f, x: f(x(3, 3), x(2, 5)),
    ],
    "fix": [lambda f, x: f(x(3, 4)), lambda f, x: f(-0.5), lambda f, x: f(x(3), x.out(3))],
    "flip": grid(lambda f, x, axis: f(x(2, 3, 4), axis), axis=[None, 0, -1, (0, 2), ()]) + [lambda f, x: f(x())],
    "fliplr": [lambda f, x: f(x(2, 3)), lambda f, x: f(x(2, 3, 4))],
    "flipud": [lambda f, x: f(x(2, 3)), lambda f, x: f(x(2))],
    "gradient": GRADIENTS,
    "hsplit": [lambda f, x: f(x(4), 2), lambda f, x: f(x(4, 6), [1, 3])],
    "hstack": STACKED,
    "imag": [lambda f, x: f(x(2, 3)), lambda f, x: f(x(3) + 1j * x(3))],
    "inner": [
        lambda f, x: f(x(3), x(3)),
        lambda f, x: f(x(2, 3), x(4, 3)),
        lambda f, x: f(x(2, 4, 3), x(5, 3)),
        lambda f, x: f(x(), x(2, 3)),
        lambda f, x: f(x(2, 0), x(0)),
    ],
    "insert": [
        *grid(
            lambda f, x, obj, axis: f(x(4, 4, 4), obj, 9, axis),
            obj=[0, -1, 4, [1, 3], [2], [], [1, 1, -1], slice(1, 3), slice(3, None, -2)], axis=[None, 0, 1, -1],
        ),
        lambda f, x: f(x(3, 4), 1, x(2, 4), axis=0),
        lambda f, x: f(x(3, 4), 1, x(3), axis=1),
        lambda f, x: f(x(3, 4), [1], x(3, 2), axis=1),
        lambda f, x: f(x(3, 4), [0, 2], x(3, 2), axis=1),
        lambda f, x: f(x(4), x.given([True, False, True, False], bool), x(2)),
        lambda f, x: f(x(4), x.integers(0, 4, 2), [1.7, 2.2]),
    ],
    "interp": [
        lambda f, x: f(x(3, 4), [-2.0, 0, 1, 2.5], x(4)),
        lambda f, x: f(x.given([-9, 0, 0.5, 1, 2, 9], "f8"), [0, 1, 2], x(3)),
        lambda f, x: f(x.given([-9, 0, 0.5, 1, 2, 9], "f8"), [0, 1, 2], x(3), left=-1, right=7.5),
        lambda f, x: f(x.with_nan(5), [0.0, 1], x(2)),
        lambda f, x: f(x(7), x.distinct(6), x(6), period=2.5),
        lambda f, x: f(0.5, [0, 1], [2, 4]),
        lambda f, x: f(x(4), [1.0], x(1)),
        lambda f, x: f(x(4), [1.0], x(1), left=5, right=6),
        lambda f, x: f(x(0), [0.0, 1], x(2)),
    ],
    "iscomplexobj": [lambda f, x: f(x(2)), lambda f, x: f(1j), lambda f, x: f([1, 2j])],
    "isrealobj": [lambda f, x: f(x(2)), lambda f, x: f(1j)],
    "kron": [
        lambda f, x: f(x(2, 3), x(3, 2)),
        lambda f, x: f(x(2), x(3)),
        lambda f, x: f(x(2, 3), x(4)),
        lambda f, x: f(x(3), x(2, 2, 2)),
        lambda f, x: f(x(), x(2, 3)),
    ],
    "matmul": MATRIX_PRODUCTS + [lambda f, x: f(x(2, 3), x(3, 4), out=(x.out(2, 4),)),
        lambda f, x: f(x(2, 3), x(3), dtype="f8")],
    "matrix_transpose": [lambda f, x: f(x(2, 3)), lambda f, x: f(x(2, 3, 4))],
    "matvec": [lambda f, x: f(x(2, 3), x(3)), lambda f, x: f(x(5, 2, 3), x(1, 3)), lambda f, x: f(x(2, 3), x(4, 3))],
    "max": REDUCTION[:20] + WITH_OUT + WITH_INITIAL + [lambda f, x: f(x.with_nan(3, 4), axis=0)],
    "mean": REDUCTION + WITH_OUT + WITH_DTYPE + WITH_WHERE + [lambda f, x: f(x(0)),
        lambda f, x: f(x(3, 4).astype("f2"), 0)],
    "median": ORDER_STATISTIC
    + [
        lambda f, x: f(x(5, 3), axis=0),
        lambda f, x: f(x.with_nan(4, 5), axis=1),
        lambda f, x: f(x.with_nan(4)),
        lambda f, x: f(x(0)),
        lambda f, x: f(x(1)),
        lambda f, x: f(x(4, 3), 0, x.out(3, dtype="f8")),
    ],
    "meshgrid": [
        *grid(
            lambda f, x, copy, sparse, indexing: f(x(2), x(3), x(4), copy=copy, sparse=sparse, indexing=indexing),
            copy=[True, False], sparse=[True, False], indexing=["xy", "ij"],
        ),
        lambda f, x: f(x(3)),
        lambda f, x: f(x(), x(2)),
        lambda f, x: f(),
    ],
    "min": REDUCTION[:20] + WITH_OUT + WITH_INITIAL,
    "moveaxis": [
        *grid(lambda f, x, a, b: f(x(2, 3, 4), a, b), a=[0, 1, -1], b=[0, 1, -1]),
        lambda f, x: f(x(2, 3, 4, 5), (0, 2), (-1, 0)),
        lambda f, x: f(x(2, 3, 4, 5), [1, 0], [2, 1]),
    ],
    "nan_to_num": [
        lambda f, x: f(x.given([np.nan, np.inf, -np.inf, 1, -0.0], "f8")),
        lambda f, x: f(x.given([np.nan, np.inf, -np.inf, 1], "f4"), nan=2, posinf=3, neginf=-3),
        lambda f, x: f(x.with_nan(3, 4), copy=False),
        lambda f, x: f(x(3, 4)),
        lambda f, x: f(np.nan),
    ],
    "nancumprod": SCAN + [lambda f, x: f(x.with_nan(3, 4), axis=0)],
    "nancumsum": SCAN + [lambda f, x: f(x.with_nan(3, 4), axis=0)],
    "nanmax": NAN,
    "nanmean": NAN,
    "nanmin": NAN,
    "nanprod": NAN + WITH_INITIAL[:2],
    "nanstd": NAN + [lambda f, x: f(x.with_nan(4, 5), axis=1, ddof=1)],
    "nansum": NAN + WITH_INITIAL[:2],
    "nanvar": NAN + [lambda f, x: f(x.with_nan(4, 5), axis=1, ddof=2),
        lambda f, x: f(x.with_nan(4, 5), 0, mean=x(1, 5))],
    "ndim": [lambda f, x: f(x(2, 3)), lambda f, x: f(1.0), lambda f, x: f([[1, 2]])],
    "outer": [
        lambda f, x: f(x(3), x(4)),
        lambda f, x: f(x(2, 2), x(3)),
        lambda f, x: f(x(3), 2.0),
        lambda f, x: f(x(2), x(3), x.out(2, 3)),
    ],
    "pad": PADS,
    "partition": grid(lambda f, x, axis: f(x.distinct(4, 4), [0, 1, 2, 3], axis), axis=[0, 1, -1])  # leaves no choice
    + [lambda f, x: f(x.distinct(4), [0, -1, -2, 1], None), lambda f, x: f([2, 1], 0)],
    "percentile": grid(lambda f, x, q, axis: f(x(3, 4), q, axis), q=[0, 50, 33.3, [10, 90]], axis=[None, 0, 1]),
    "place": [
        lambda f, x: f(x(3, 4), x.mask(3, 4), [1, 2, 3]),
        lambda f, x: f(x(3, 4), x.mask(12), x(2, 2)),
        lambda f, x: f(x(3), [False, False, False], []),
        lambda f, x: f(x(3), [1, 0, 2], [7]),
    ],
    "polyval": [lambda f, x: f(x(3), x(2, 2)), lambda f, x: f([1, 2, 3], x(4)), lambda f, x: f([2.0, 1.0], 3.0)],
    "prod": REDUCTION + WITH_OUT + WITH_DTYPE + WITH_WHERE + WITH_INITIAL,
    "ptp": REDUCTION[:20] + WITH_OUT,
    "put": PUTS,
    "put_along_axis": [
        *grid(lambda f, x, axis: f(x(4, 4), x.integers(0, 4, 4, 4), x(4, 4), axis), axis=[0, 1, -1]),
        lambda f, x: f(x(3, 4), [[0], [2], [1]] and x.integers(-3, 3, 3, 1), 5, 1),
        lambda f, x: f(x(6), x.integers(0, 6, 3), x(3), None) if x.layout in "CF" else 0,
    ],
    "putmask": [
        lambda f, x: f(x(3, 4), x.mask(3, 4), x(3, 4)),
        lambda f, x: f(x(3, 4), x.mask(3, 4), [1, 2, 3, 4, 5]),
        lambda f, x: f(x(3, 4), x.mask(3, 4), 7),
    ],
    "quantile": QUANTILES,
    "ravel": grid(lambda f, x, order: f(x(2, 3, 4), order), order=["C", "F", "A", "K"]),
    "real": [lambda f, x: f(x(2, 3)), lambda f, x: f(x(3) + 1j * x(3))],
    "repeat": REPEATS,
    "reshape": [
        *grid(lambda f, x, shape, order: f(x(2, 3, 4), shape, order),
            shape=[(6, 4), -1, (4, -1)], order=["C", "F", "A"]),
        lambda f, x: f(x(2, 3), (6,), copy=True),
        lambda f, x: f([1.0, 2.0], (2, 1)),
    ],
    "resize": grid(lambda f, x, shape: f(x(2, 3), shape),
        shape=[4, (2, 2), (3, 5), (0, 2), 6]) + [lambda f, x: f(x(0), (2, 2))],
    "roll": [
        *grid(lambda f, x, shift, axis: f(x(3, 4, 2), shift, axis), shift=[0, 1, -1, 5, -7], axis=[None, 0, 1, -1]),
        lambda f, x: f(x(3, 4), (1, -1), (0, 1)),
        lambda f, x: f(x(3, 4), 2, (0, 1)),
        lambda f, x: f(x(3, 4), (1, 2), 0),
        lambda f, x: f(x(3, 4), (1, 1), (0, 0)),
        lambda f, x: f(x(0, 3), 1, 0),
    ],
    "rollaxis": grid(lambda f, x, axis, start: f(x(2, 3, 4), axis, start), axis=[0, 1, -1], start=[0, 1, 2, 3, -1]),
    "rot90": grid(lambda f, x, k, axes: f(x(2, 3, 4), k, axes), k=[-1, 0, 1, 2, 3, 4], axes=[(0, 1), (2, 0), (-1, -2)]),
    "round": ROUNDS,
    "searchsorted": [
        *grid(lambda f, x, side: f([-1.0, 0, 1, 2], x(3, 4), side), side=["left", "right"]),
        lambda f, x: f([0, 1, 2], 1.5),
        lambda f, x: f([2.0, 0, 1], x(3), sorter=[1, 2, 0]),
    ],
    "select": [
        lambda f, x: f([x.mask(4), x.mask(4)], [x(4), x(4)]),
        lambda f, x: f([x.mask(3, 4)], [x(4)], default=2.5),
        lambda f, x: f([x.mask(3, 1), x.mask(4)], [1, x(3, 4)], x(4)),
        lambda f, x: f([np.True_], [2.0]),
    ],
    "shape": [lambda f, x: f(x(2, 3)), lambda f, x: f(1.0), lambda f, x: f([[1, 2]])],
    "sinc": [lambda f, x: f(x(3, 4)), lambda f, x: f(x(50) / 200), lambda f, x: f(0.0), lambda f, x: f(x(0))],
    "size": [lambda f, x: f(x(2, 3)), lambda f, x: f(x(2, 3), 1), lambda f, x: f([1, 2])],
    "sort": grid(lambda f, x, axis: f(x.distinct(3, 4, 2), axis), axis=[None, 0, 1, -1])
    + grid(lambda f, x, kind: f(x.positive(9), kind=kind), kind=["quicksort", "stable", "heapsort"])
    + [lambda f, x: f(x.with_nan(3, 4)), lambda f, x: f([3, 1, 2], stable=True)],
    "split": grid(lambda f, x, parts: f(x(4, 6), parts, 1), parts=[2, 3, [1, 3]]),
    "squeeze": grid(lambda f, x, axis: f(x(1, 3, 1), axis), axis=[None, 0, -1, (0, 2)]),
    "stack": grid(lambda f, x, axis: f([x(2, 3), x(2, 3)], axis), axis=[0, 1, 2, -1, -3])
    + [
        lambda f, x: f((x(), 2.0)),
        lambda f, x: f((x(2), x(2)), out=x.out(2, 2)),
        lambda f, x: f((x(2), x(2)), dtype="f8"),
        lambda f, x: f(x(3, 2, 2), 1),
    ],
    "std": REDUCTION + WITH_OUT + WITH_DTYPE + WITH_WHERE + VARIANCES,
    "sum": REDUCTION + WITH_OUT + WITH_DTYPE + WITH_WHERE + WITH_INITIAL,
    "swapaxes": [lambda f, x: f(x(2, 3, 4), 0, -1), lambda f, x: f(x(2, 3), 0, 0)],
    "take": TAKES,
    "take_along_axis": [
        *grid(lambda f, x, axis: f(x(4, 4), x.integers(-4, 4, 4, 4), axis), axis=[0, 1, -1]),
        lambda f, x: f(x(3, 4), x.integers(0, 12, 5), axis=None),
        lambda f, x: f(x(3, 4), x.integers(0, 3, 1, 4), axis=0),
    ],
    "tensordot": [
        *grid(lambda f, x, axes: f(x(3, 3, 3), x(3, 3, 3), axes),
            axes=[0, 1, 2, 3, (0, 1), ([0, 2], [1, 0]), ([-1], [-2])]),
        lambda f, x: f(x(2, 3), x(3, 4), 1),
        lambda f, x: f(x(2, 0), x(0, 3), 1),
    ],
    "tile": grid(lambda f, x, reps: f(x(2, 3), reps), reps=[1, 2, (2, 1), (3, 2, 2), (1, 1), (1, 1, 1), 0, [2, 0]])
    + [lambda f, x: f(2.0, 3), lambda f, x: f(x(), (2, 2))],
    "trace": [
        *grid(lambda f, x, k: f(x(3, 4), k), k=[0, 1, -2, 9]),
        lambda f, x: f(x(2, 3, 4), 0, 1, 2),
        lambda f, x: f(x(3, 3), dtype="f8"),
        lambda f, x: f(x(2, 2, 3), out=x.out(3)),
    ],
    "transpose": grid(lambda f, x, axes: f(x(2, 3, 4), axes), axes=[None, (2, 0, 1), [0, -1, 1]]),
    "trapezoid": [
        *grid(lambda f, x, axis: f(x(4, 4), axis=axis), axis=[0, 1, -1]),
        lambda f, x: f(x(4, 5), x.distinct(5)),
        lambda f, x: f(x(4, 5), x.distinct(4), axis=0),
        lambda f, x: f(x(4, 5), x.distinct(4, 5), axis=0),
        lambda f, x: f(x(5), dx=0.25),
        lambda f, x: f([1.0, 2.0]),
    ],
    "tril": grid(lambda f, x, k: f(x(3, 4), k), k=[0, 1, -1]) + [lambda f, x: f(x(2, 3, 3)), lambda f, x: f(x(3))],
    "triu": grid(lambda f, x, k: f(x(3, 4), k), k=[0, 1, -1]) + [lambda f, x: f(x(2, 3, 3)), lambda f, x: f(x(3))],
    "unstack": grid(lambda f, x, axis: f(x(2, 3, 4), axis=axis), axis=[0, 1, -1]) + [lambda f, x: f(x(3))],
    "unwrap": [
        *grid(lambda f, x, axis: f(3 * x(4, 5), axis=axis), axis=[0, 1, -1]),
        lambda f, x: f(3 * x(6), discont=4.0),
        lambda f, x: f(3 * x(6), period=4),
        lambda f, x: f(x(6), period=3),
        lambda f, x: f(x.given([0, 2, 0, 1, 3, 0]), period=4),
        lambda f, x: f([0.0, np.pi, 0.0, -np.pi]),
    ],
    "vander": grid(lambda f, x, n, up: f(x(3), n, up), n=[None, 0, 1, 2, 5], up=[False, True]),
    "var": REDUCTION + WITH_OUT + WITH_DTYPE + WITH_WHERE + VARIANCES,
    "vdot": [
        lambda f, x: f(x(3), x(3)),
        lambda f, x: f(x(2, 3), x(3, 2)),
        lambda f, x: f(1j * x(3), x(3)),
        lambda f, x: f(x(), x()),
    ],
    "vecdot": [
        lambda f, x: f(x(3), x(3)),
        lambda f, x: f(x(2, 3), x(3)),
        lambda f, x: f(x(3, 2), x(3, 1), axis=0),
        lambda f, x: f(x(3, 2), x(3, 2), axis=0, keepdims=True),
        lambda f, x: f(x(3, 2), x(3, 2), out=(x.out(3, 1),), keepdims=True),
        lambda f, x: f(1j * x(4, 1, 3), x(5, 3)),
    ],
    "vecmat": [lambda f, x: f(x(3), x(3, 2)), lambda f, x: f(x(5, 3), x(3, 2)), lambda f, x: f(1j * x(3), x(3, 2))],
    "vsplit": grid(lambda f, x, parts: f(x(4, 6), parts), parts=[2, [1, 3]]),
    "vstack": STACKED,
    "linalg.solve": SYSTEMS,
    "linalg.inv": MATRICES,
    "linalg.det": MATRICES,
    "linalg.slogdet": [partial(lambda f, x, case: tuple(case(f, x) or ()), case=case) for case in MATRICES],
    "linalg.cross": [lambda f, x: f(x(3), x(3)), lambda f, x: f(x(3, 2), x(3, 2), axis=0)],
    "linalg.diagonal": [lambda f, x: f(x(2, 3, 4)), lambda f, x: f(x(3, 3), offset=1)],
    "linalg.matmul": MATRIX_PRODUCTS,
    "linalg.matrix_norm": grid(lambda f, x, o, k: f(x(2, 3, 4), ord=o, keepdims=k),
        o=["fro", 1, -1, np.inf, -np.inf], k=[False, True]),
    "linalg.matrix_transpose": [lambda f, x: f(x(2, 3, 4))],
    "linalg.multi_dot": [
        lambda f, x: f([x(2, 3), x(3, 4)]),
        lambda f, x: f([x(2, 3), x(3, 4), x(4, 2)]),
        lambda f, x: f([x(3), x(3, 4), x(4, 2), x(2)]),
        lambda f, x: f([x(3), x(3, 4), x(4, 2)]),
        lambda f, x: f([x(5, 3), x(3, 9), x(9, 2), x(2)]),
    ],
    "linalg.norm": NORMS,
    "linalg.outer": [lambda f, x: f(x(2), x(3))],
    "linalg.tensordot": [lambda f, x: f(x(2, 3), x(3, 4), axes=1)],
    "linalg.trace": [lambda f, x: f(x(2, 3, 4)), lambda f, x: f(x(3, 3), offset=1, dtype="f8")],
    "linalg.vecdot": [lambda f, x: f(x(2, 3), x(3)), lambda f, x: f(x(3, 2), x(3, 2), axis=0)],
    "linalg.vector_norm": grid(
        lambda f, x, axis, k, o: f(x(2, 3, 4), axis=axis, keepdims=k, ord=o),
        axis=[None, 0, (0, 2), (2, 0)], k=[False, True], o=[2, 1, 3.5, np.inf],
    ),
}  # fmt: skip
