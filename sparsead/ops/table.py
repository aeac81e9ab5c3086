"""The elementwise records entered into the tape's registry: ufunc -> op code."""

from __future__ import annotations

import numpy as np

from sparsead.ops import elementwise
from sparsead.tape.spec import ELEMENTWISE, Op, register


def _evaluator(record):
    function, single = record.ufunc, record.nout == 1

    def evaluate(arrays, op, types):
        result = function(*arrays)
        return (result,) if single else result

    return evaluate


CODE_OF_UFUNC: dict[object, int] = {}
CODE_OF_NAME: dict[str, int] = {}


def enter(record):
    """Register an elementwise record; ufuncs of other packages (SciPy's, Numba's) may be entered at any time."""
    code = ELEMENTWISE + len(CODE_OF_NAME)
    register(Op(record.name, code, _evaluator(record), elementwise=record))
    CODE_OF_NAME[record.name] = code
    if isinstance(record.ufunc, np.ufunc):
        CODE_OF_UFUNC[record.ufunc] = code
    return code


for _record in elementwise.BY_NAME.values():
    enter(_record)
