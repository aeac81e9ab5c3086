"""The engine's threads among those that threadpoolctl limits."""

import subprocess
import sys

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

import sparsead
from sparsead.engine import vm
from tapes import Builder


def test_limits_hold_for_a_block_of_code():
    before = sparsead.get_num_threads()
    try:
        sparsead.set_num_threads(3)
        with threadpool_limits(2):
            assert sparsead.get_num_threads() == 2
            with threadpool_limits(1, user_api="sparsead"):
                assert sparsead.get_num_threads() == 1
            with threadpool_limits(1, user_api="blas"):
                assert sparsead.get_num_threads() == 2
            with threadpool_limits({"sparsead": 1000}):
                assert sparsead.get_num_threads() == 64
        assert sparsead.get_num_threads() == 3
    finally:
        sparsead.set_num_threads(before)


def test_programs_keep_to_them():
    b = Builder()
    program, x = vm.Program(b.done(b.ew("sin", b.input((200_000,))))), np.linspace(0, 1, 200_000)
    with threadpool_limits(1):
        program.run([x])
    assert program.measured.threads == 1


def test_the_pool_is_listed_once():
    (found,) = [info for info in threadpool_info() if info["user_api"] == "sparsead"]
    assert found["num_threads"] == sparsead.get_num_threads()


SCRIPT = """
import sys
from threadpoolctl import threadpool_limits
import sparsead
with threadpool_limits(1):
    print(sparsead.get_num_threads(), "sparsead.engine.vm" in sys.modules)
"""


def test_it_holds_before_the_engine_is_loaded():
    done = subprocess.run([sys.executable, "-P", "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "1 False\n"
