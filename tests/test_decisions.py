"""The log of decisions: what is traced and why, which engine, what was planned, and that it is silent unless asked."""

import doctest
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

import sparsead
from sparsead import decisions
from sparsead.engine import vm
from tapes import Builder

factor = 2  # captured by `loss`


def loss(x):
    y = factor * x
    if x[0] > 0:
        y = np.sin(y)
    return y.sum()


class Box:
    def __init__(self):
        self.items, self.scale, self.array = [1.0], 3, np.ones(2)


@pytest.fixture
def told(caplog):
    """``told(call)``: what a call logs, one text."""

    def tell(call, level=logging.INFO):
        caplog.clear()
        with caplog.at_level(level, logger="sparsead"):
            call()
        return "\n".join(record.getMessage() for record in caplog.records)

    return tell


def test_why_a_function_is_traced(told, monkeypatch):
    gradient = sparsead.grad(loss)
    first = told(lambda: gradient(np.ones(3)))
    assert "grad of loss: trace 1" in first and "does not fit" not in first and " ops in " in first
    assert told(lambda: gradient(np.ones(3))) == ""
    assert "x has shape (4,), not (3,)" in told(lambda: gradient(np.ones(4)))
    assert "x has strides (16,), not (8,)" in told(lambda: gradient(np.ones(8)[::2]))
    assert "x has dtype float32, not float64" in told(lambda: gradient(np.ones(4, np.float32)))
    monkeypatch.setattr(sys.modules[__name__], "factor", 7)
    assert "factor is 7, not 2" in told(lambda: gradient(np.ones(4)))


def test_guards_are_named_with_their_line(told):
    gradient = sparsead.grad(loss)
    gradient(np.ones(3))
    text = told(lambda: gradient(-np.ones(3)))
    assert f"test_decisions.py', {loss.__code__.co_firstlineno + 2})" in text and "where the trace saw True" in text
    assert "does not fit: its guards do not hold" in text


def test_other_kinds_of_difference(told):
    box = Box()

    def f(x, flag=True):
        return (x * len(box.items) * box.scale * box.array).sum() if flag else x.sum()

    gradient = sparsead.grad(f)
    gradient(np.ones(2))
    assert "flag is False, not True" in told(lambda: gradient(np.ones(2), False))
    box.items.append(2.0)
    assert "has 2 items, not 1" in told(lambda: gradient(np.ones(2)))
    box.scale = 4
    assert "scale is 4, not 3" in told(lambda: gradient(np.ones(2)))
    del box.scale
    with pytest.raises(AttributeError):
        gradient(np.ones(2))
    box.scale, box.array = 4, [1.0, 1.0]
    assert "is of type list, and was an array" in told(lambda: gradient(np.ones(2)))


def test_numbers_that_become_inputs(told, monkeypatch):
    gradient = sparsead.grad(loss)
    gradient(np.ones(3))
    monkeypatch.setattr(sys.modules[__name__], "factor", 5)
    assert "only numbers differ from a known recording" in told(lambda: gradient(np.ones(3)))


def test_engines_workspaces_threads_and_colourings(told):
    jacobian = sparsead.jacobian(lambda x: np.sin(x[1:]) * x[:-1])
    text = told(lambda: jacobian(np.ones(9)))
    assert "pattern of 8 x 9 with 16 entries: entry by entry, without colours" in text
    assert "for the tiled engine: " in text and "workspace of " in text
    text = told(lambda: sparsead.jacobian(lambda x: np.stack([x.sum(), np.cumsum(x**2)[-1]]))(np.ones(99)))
    assert "counted: column " in text and ", row " in text and "Coloring(row, 2 colours" in text
    text = told(lambda: sparsead.grad(loss, engine="reference")(np.ones(3)))
    assert "engine 'reference'" in text and "workspace" not in text
    before = sparsead.get_num_threads()
    try:
        assert "up to 3 threads from now on" in told(lambda: sparsead.set_num_threads(3))
        assert "up to 3 threads" in told(lambda: jacobian(np.ones(9)))
    finally:
        sparsead.set_num_threads(before)


def test_debug_says_why_kernels_are_apart(told):
    def f(x):
        x[1:] *= x[:-1]
        return np.sum(np.sin(x))

    assert "not in step" in told(lambda: sparsead.grad(f)(np.ones(50)), logging.DEBUG)
    assert "not in step" not in told(lambda: sparsead.grad(f)(np.ones(51)))


def test_nothing_is_said_of_calls_that_are_prepared(told):
    b = Builder()
    program = vm.Program(b.done(b.ew("sin", b.input((3,)))))
    program.run([np.ones(3)])
    assert told(lambda: program.run([np.ones(3)]), logging.DEBUG) == ""


# ---- the environment variable ----------------------------------------------------------------------------------------

SCRIPT = "import numpy as np, sparsead; sparsead.grad(lambda x: np.sum(np.sin(x)) + np.sum(x[:-1]))(np.ones(5))"


def run(tmp_path, **environment):
    """(what a process writes to stderr, what is in the file `log`)."""
    kept = {k: v for k, v in os.environ.items() if k != "SPARSEAD_LOG"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=kept | environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    file = tmp_path / "log"
    return done.stderr, file.read_text() if file.exists() else ""


def test_the_environment_variable(tmp_path):
    assert run(tmp_path) == ("", "")
    assert run(tmp_path, SPARSEAD_LOG="") == ("", "")
    for wish in ("stderr", "INFO:"):
        shown, file = run(tmp_path, SPARSEAD_LOG=wish)
        assert "grad of <lambda>: trace 1" in shown and "not in step" not in shown and file == ""
    assert "not in step" in run(tmp_path, SPARSEAD_LOG="debug")[0]
    shown, file = run(tmp_path, SPARSEAD_LOG="log")
    assert shown == "" and file.count("trace 1") == 1 and "not in step" not in file
    shown, file = run(tmp_path, SPARSEAD_LOG="debug:log")
    assert shown == "" and file.count("trace 1") == 2 and "not in step" in file


def test_the_example_of_the_docstring():
    level, handlers = decisions.LOG.level, list(decisions.LOG.handlers)
    try:
        result = doctest.testmod(decisions)
        assert result.attempted and not result.failed
    finally:
        decisions.LOG.setLevel(level)
        decisions.LOG.handlers[:] = handlers
