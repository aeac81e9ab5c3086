"""What sparsead decides, told as it happens: through the logger "sparsead" of the standard `logging`.

At level INFO: each trace and why no known one would do, guards that failed, which engine runs a tape and in how many kernels,
patterns and colourings, workspaces. At level DEBUG also why each kernel is not one with the kernel before it.

The environment variable ``SPARSEAD_LOG`` attaches a handler when sparsead is imported: ``SPARSEAD_LOG=stderr``, or the name of a
file, to which it is appended; ``debug:stderr`` for more, and ``debug`` alone is that. Without it nothing is shown, and little is
spent; programs attach handlers of their own::

    logging.getLogger("sparsead").setLevel(logging.INFO)
    logging.getLogger("sparsead").addHandler(logging.StreamHandler())
"""

from __future__ import annotations

import logging
import os
import threading
import warnings

LOG = logging.getLogger("sparsead")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}
FORMAT = "sparsead %(relativeCreated)8.0f ms  %(message)s"  # milliseconds since `logging` was imported
_warned: set[str] = set()


def warn_once(text):
    """A RuntimeWarning about the machine, which the process gives once.

    Where warnings are errors, it is raised in the main thread only: in others nobody could catch it.
    """
    if text in _warned:
        return
    _warned.add(text)
    LOG.info(text)
    try:
        warnings.warn(f"sparsead: {text}", RuntimeWarning, stacklevel=2)
    except RuntimeWarning:
        if threading.current_thread() is threading.main_thread():
            raise


def attach(wish):
    """Attach the handler that a value of ``SPARSEAD_LOG`` asks for; returns it.

    Parameters
    ----------
    wish : str
        ``[level:]target``, or a level, which is either of "info" and "debug"; the target is "stderr" or the name of a file.

    Raises
    ------
    OSError
        The file cannot be written.

    Examples
    --------
    >>> from sparsead.decisions import attach
    >>> attach("debug:stderr").level
    10
    """
    level, _, target = wish.partition(":")
    if level.lower() not in LEVELS:
        level, target = "info", wish
    handler = logging.StreamHandler() if target in ("", "stderr") else logging.FileHandler(target)
    handler.setLevel(LEVELS[level.lower()])
    handler.setFormatter(logging.Formatter(FORMAT))
    LOG.addHandler(handler)
    LOG.setLevel(min(handler.level, LOG.level or logging.WARNING))
    return handler


if os.environ.get("SPARSEAD_LOG"):
    attach(os.environ["SPARSEAD_LOG"])
