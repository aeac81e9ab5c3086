"""How many threads sweeps may use."""

from __future__ import annotations

import os

from sparsead.decisions import LOG

MOST = 64


def _initial():
    """What OMP_NUM_THREADS says, else the cores that this process may use."""
    try:
        return min(max(int(os.environ["OMP_NUM_THREADS"].split(",")[0]), 1), MOST)
    except (KeyError, ValueError):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cores, MOST)


_threads = _initial()


def set_num_threads(n):
    """Let sweeps use up to `n` threads.

    Results have the same bits for any number of threads. At first it is what the environment variable OMP_NUM_THREADS says, or
    the number of cores that the process may use. ``threadpoolctl.threadpool_limits``, where it is installed, sets this number
    for its block of code as it sets those of BLAS and OpenMP, and ``user_api="sparsead"`` sets this one alone.

    Parameters
    ----------
    n : int
        From 1 to 64.

    Raises
    ------
    TypeError, ValueError
        `n` is no integer, or out of range.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.set_num_threads(1)
    >>> sparsead.get_num_threads()
    1
    """
    global _threads
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"sparsead.set_num_threads() takes an integer, got {type(n).__name__}")
    if not 1 <= n <= MOST:
        raise ValueError(f"sparsead.set_num_threads({n}): from 1 to {MOST} threads")
    _threads = int(n)
    LOG.info("up to %d threads from now on", n)


def get_num_threads():
    """How many threads sweeps may use."""
    return _threads


def _tell_threadpoolctl():
    """Let threadpoolctl know the pool, by a compiled module that is there from the beginning: it looks at what is loaded."""
    try:
        from threadpoolctl import LibController, register
    except ImportError:  # it is not there, or is older than 3.2 and takes no others than its own
        return

    class Pool(LibController):
        user_api = internal_api = "sparsead"
        filename_prefixes = ("_tape.",)
        check_symbols = ("PyInit__tape",)

        def get_num_threads(self):
            return get_num_threads()

        def set_num_threads(self, num_threads):
            set_num_threads(min(max(int(num_threads), 1), MOST))

        def get_version(self):
            return None

    register(Pool)


_tell_threadpoolctl()
