"""Why a call is of another kind than a recorded one, in words: for the log, after `Recording.match` has said that it is."""

from __future__ import annotations

from sparsead.tracing.memory import PLAIN, same_layout
from sparsead.tracing.record import groups_of
from sparsead.tracing.substitution import path_text, resolve

LONGEST = 60  # of a value


def mismatch(recording, arguments):
    """The first difference between a call and the recorded one; None if there is none that is known of."""
    for leaf in [*recording.checks, *recording.arrays, *recording.floats]:
        path = leaf.path[:-1] if leaf.kind == "length" else leaf.path
        try:
            difference = DIFFERENCES[leaf.kind](resolve(path, arguments), leaf.value)
        except (LookupError, AttributeError, ValueError, TypeError) as error:
            return f"{path_text(path)} is not there any more ({type(error).__name__}: {error})"
        if difference:
            return f"{path_text(path)} {difference}"
    arrays = [resolve(leaf.path, arguments) for leaf in recording.arrays]
    if arrays and groups_of(recording.arrays, arrays, recording.joint) != recording.grouping:
        return "other arrays than before share memory"
    for array, copy in recording.snapshots:
        if array.tobytes() != copy.tobytes():
            return f"an array of shape {array.shape} that is frozen in the tape has changed"
    return None


def same_kind(recording, other):
    """Whether two recordings are of calls of one kind, so that they differ in the path through the function only."""
    if not recording.same_inputs(other) or len(recording.checks) != len(other.checks):
        return False
    return all(a.path == b.path and a.kind == b.kind and _same(a, b) for a, b in zip(recording.checks, other.checks, strict=True))


def _same(leaf, other):
    """Whether two checks of one kind ask for the same."""
    return leaf.value == other.value if leaf.kind == "length" else not DIFFERENCES[leaf.kind](leaf.value, other.value)


def _array(now, before):
    if type(now) not in PLAIN:
        return f"is of type {type(now).__name__}, and was an array"
    if same_layout(now, before):
        return ""
    for what in ("shape", "dtype", "strides"):
        if getattr(now, what) != getattr(before, what):
            return f"has {what} {getattr(now, what)}, not {getattr(before, what)}"
    return ""


def _float(now, before):
    return "" if type(now) is type(before) else f"is of type {type(now).__name__}, not {type(before).__name__}"


def _static(now, before):
    same = type(now) is type(before) and (now == before or (now != now and before != before))
    return "" if same else f"is {_short(now)}, not {_short(before)}"


def _length(now, before):
    return "" if len(now) == before else f"has {len(now)} items, not {before}"


def _identity(now, before):
    return "" if now is before else "is another object"


def _contents(now, before):
    same = now.shape == before.shape and now.dtype == before.dtype and (now == before).all()
    return "" if same else "has other contents, of which the tape depends"


def _short(value):
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


DIFFERENCES = {
    "array": _array, "float": _float, "static": _static, "length": _length, "identity": _identity, "contents": _contents,
}  # fmt: skip
