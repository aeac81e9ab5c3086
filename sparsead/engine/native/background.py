"""Work behind the back of calls: one thread, for what has to be done some time.

Law: nothing waits for it. The thread ends when there is nothing left to do; a process ends when it wants to, and what is under
way ends with it; the child of a fork has forgotten what its parent meant to do.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque

from sparsead.decisions import LOG
from sparsead.engine.native import compiler

END = 2.0  # seconds in which what is under way has to be cleared away when the process ends

_lock = threading.RLock()
_tasks: deque = deque()
_thread: threading.Thread | None = None


def submit(task):
    """Have ``task()`` called by the thread, after those before it; RuntimeError if no thread can be started."""
    global _thread
    with _lock:
        if _thread is None:
            thread = threading.Thread(target=_work, name="sparsead builds", daemon=True)
            thread.start()
            _thread = thread
        _tasks.append(task)


def _work():
    global _thread
    while True:
        with _lock:
            if not _tasks:
                _thread = None
                return
            task = _tasks.popleft()
        try:
            task()
        except Exception:  # there is no caller to hear of it
            LOG.exception("work in the background failed")
        del task


def wait(seconds=None):
    """Wait until there is nothing to do; whether that is so."""
    thread = _thread
    if thread is not None:
        thread.join(seconds)
    return _thread is None


@atexit.register
def _end():
    _tasks.clear()
    compiler.stop()
    wait(END)


def _forget():
    global _lock, _thread
    _lock, _thread = threading.RLock(), None
    _tasks.clear()


os.register_at_fork(after_in_child=_forget)

__all__ = ["submit", "wait"]
