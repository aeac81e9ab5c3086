"""Attributes that are other ones while a block runs.

Law: between the first `with` and the end of the last one they are replaced, else they are what they were. No Python code runs on
the way in or out, so that an interrupt comes before or after, and cannot leave some of them, or all, replaced for good.
"""


cdef class Installed:
    """A context manager; it may be entered again, and by several threads: entries are counted, under the lock of the interpreter.

    Parameters
    ----------
    rows : list of (place, name, original, replacement)
        Attributes of modules and classes.
    """
    cdef list rows
    cdef Py_ssize_t depth

    def __init__(self, list rows):
        self.rows, self.depth = rows, 0

    def __enter__(self):
        if self.depth == 0:
            for place, name, _, replacement in self.rows:
                setattr(place, name, replacement)
        self.depth += 1

    def __exit__(self, kind, error, trace):
        self.depth -= 1
        if self.depth == 0:
            for place, name, original, _ in self.rows:
                setattr(place, name, original)
