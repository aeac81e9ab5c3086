"""Any call of einsum brought to the one form of the tape: explicit output, no ellipsis, equal extents of a letter."""

from __future__ import annotations

import string

import numpy as np

from sparsead.ops.contraction import evaluate
from sparsead.tracing._traced import as_array, concrete_of


def einsum(trace, *operands):
    """``np.einsum(*operands)`` on traced arrays."""
    terms, out, arrays = _parsed([_wrapped(trace, x) for x in operands])
    dims = {}
    for term, a in zip(terms, arrays, strict=True):
        for letter, n in zip(term, a.shape, strict=True):
            dims[letter] = n if dims.get(letter, 1) == 1 else dims[letter]
    terms, arrays = _without_broadcasts(terms, arrays, dims)
    return contraction(trace, terms, arrays, out)


def contraction(trace, terms, arrays, out):
    """The op ``einsum``: `terms` are strings of letters, one per array."""
    concrete = [np.asarray(concrete_of(a)) for a in arrays]
    dtype = np.result_type(*concrete)
    subscripts = ",".join(terms) + "->" + out
    result = evaluate(subscripts, [c.astype(dtype, copy=False) for c in concrete])
    result = np.array(result, order="C") if isinstance(result, np.ndarray) and result.ndim else np.asarray(result)[()]
    value = trace.op("einsum", [trace.operand(a, dtype) for a in arrays], dtype, np.shape(result), subscripts)
    return trace.result(result, value)


def _wrapped(trace, x):
    if isinstance(x, (str, list, tuple)) or x is Ellipsis:
        return x
    return as_array(trace, x)


def _parsed(operands):
    if not isinstance(operands[0], str):
        operands = _from_sublists(operands)
    text, arrays = operands[0].replace(" ", ""), operands[1:]
    inputs, arrow, out = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(arrays):
        raise ValueError(f"einsum subscripts {text!r} name {len(terms)} operands, {len(arrays)} were given")
    if not arrow:
        out = _implicit_output(inputs)
    free = [c for c in string.ascii_letters if c not in text]
    rank = max([a.ndim - len(t.replace("...", "")) for t, a in zip(terms, arrays, strict=True) if "..." in t], default=0)
    for term, a in zip(terms, arrays, strict=True):
        if "..." not in term and len(term) != a.ndim:
            raise ValueError(f"einsum term {term!r} has {len(term)} letters for an array of shape {a.shape}")
    expanded = [_expand(t, free, a.ndim - len(t.replace("...", ""))) for t, a in zip(terms, arrays, strict=True)]
    return expanded, _expand(out, free, rank), list(arrays)


def _implicit_output(inputs):
    letters = inputs.replace(",", "").replace(".", "")
    once = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    return ("..." if "..." in inputs else "") + once


def _expand(term, free, rank):
    # Ellipses align at their right ends: the last of `rank` axes always has the same letter.
    return term.replace("...", "".join(reversed(free[:rank])))


def _from_sublists(operands):
    arrays, lists = list(operands[0::2]), list(operands[1::2])
    out = None
    if len(operands) % 2:
        out = arrays.pop()
    text = ",".join(_letters(sub) for sub in lists)
    return [text if out is None else text + "->" + _letters(out), *arrays]


def _letters(sublist):
    return "".join("..." if k is Ellipsis else string.ascii_letters[k] for k in sublist)


def _without_broadcasts(terms, arrays, dims):
    """Drop axes of length one that stand for longer ones, so that a letter has one extent."""
    new_terms, new_arrays = [], []
    for term, a in zip(terms, arrays, strict=True):
        keep = [k for k, c in enumerate(term) if a.shape[k] == dims[c]]
        if len(keep) < len(term):
            a = a[tuple(slice(None) if k in keep else 0 for k in range(a.ndim))]
            term = "".join(term[k] for k in keep)
        new_terms.append(term)
        new_arrays.append(a)
    return new_terms, new_arrays
