"""Errors of code that cannot take traced values, told with the user's line and what to do."""

from __future__ import annotations

import dis

from sparsead.tracing.errors import TraceError
from sparsead.tracing.libraries import is_library

RAISE = dis.opmap["RAISE_VARARGS"]


def explained(trace, error):
    """The `TraceError` to raise from `error`; None if `error` is ours, or the user's own."""
    if isinstance(error, TraceError):
        return None
    steps = _steps(error.__traceback__)
    of_user = [step for step in steps if not is_library(step.tb_frame)]
    if not of_user or (of_user[-1] is steps[-1] and _raised_by_statement(steps[-1])):
        return None
    at = f" at {of_user[-1].tb_frame.f_code.co_filename}:{of_user[-1].tb_lineno}"
    if trace.refusal is not None and trace.refusal[1] == at:  # some put their own error in the place of ours
        return TraceError(trace.refusal[0])
    if "TracedArray" in str(error) or "TracedScalar" in str(error):
        return TraceError(f"{type(error).__name__} of code that cannot take a traced value{at}; wrap it in sparsead.black_box. "
                          f"It said: {error}")  # fmt: skip
    return None


def _steps(traceback):
    steps = []
    while traceback is not None:
        steps.append(traceback)
        traceback = traceback.tb_next
    return steps


def _raised_by_statement(step):
    return step.tb_frame.f_code.co_code[step.tb_lasti] == RAISE
