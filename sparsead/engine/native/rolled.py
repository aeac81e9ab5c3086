"""Runs of ops on single numbers, rolled up: what an unrolled loop does over and over becomes a loop again.

Law: the instructions of a run, taken out of its loops trip by trip, are those of the run, in their order.

A loop is a stretch of instructions of the same kinds whose words (registers, offsets) are greater by the same numbers on each
trip. Loops are found from the left, the shortest period first; then those that loops and instructions make, and so on: a sweep
over rows and columns has two levels. That is the folding of Ketterlin and Clauss, "Prediction and trace compression of data
access through nested loop recognition", CGO 2008, with repeats that are looked for as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

LONGEST = 512  # instructions of a trip, or loops and instructions
LEAST = 4  # trips
SAME = 24  # instructions that come again after a trip, at least
MOVES = ("load", "store", "accumulate", "load_at", "store_at", "accumulate_at")
KINDS = 0xD800  # of instructions: they are searched as characters


class Op(NamedTuple):
    """An instruction; `values` are its words, with the offset of what is moved as one, and without the slot."""

    kind: int
    values: np.ndarray


@dataclass
class Loop:
    """A loop over a body of `Op`s and `Loop`s, whose `values` grow by `steps` on each trip."""

    count: int
    steps: np.ndarray
    body: list

    @property
    def values(self):
        """Of the first trip."""
        return np.concatenate([node.values for node in self.body])

    @property
    def kind(self):
        """What is the same in two loops that differ in their values only."""
        return self.count, self.steps.tobytes(), *(node.kind for node in self.body)


class Rolled(NamedTuple):
    """A run as loops.

    Attributes
    ----------
    nodes : list of Op or Loop
    kinds : list of (Form, words)
        Of the instructions: what is done, and with which words, of which those count that are no `values`.
    """

    nodes: list
    kinds: list[tuple[Any, list]]

    @property
    def size(self):
        """Instructions that are written down."""
        return sum(map(_size, self.nodes))


def _size(node):
    return 1 if isinstance(node, Op) else sum(map(_size, node.body))


def rolled(step, most):
    """The `Rolled` of a `Scalars`; None if it has no loops, or more than `most` loops and instructions follow each other."""
    kinds, values, known = _table(step)
    nodes = _folded(kinds, values, lambda k: Op(int(kinds[k]), values[k]), most)
    found = None
    while nodes is not None and any(isinstance(node, Loop) for node in nodes):
        found = nodes
        names: dict[Any, int] = {}
        outer = np.array([names.setdefault(node.kind, len(names)) for node in nodes])
        rows = [node.values for node in nodes]
        table = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for row, numbers in zip(table, rows, strict=True):
            row[: len(numbers)] = numbers
        nodes = _folded(outer, table, found.__getitem__, most)
        if nodes is not None and len(nodes) == len(found):
            break
    return None if found is None else Rolled(found, known)


def _table(step):
    """(kinds, values, what kinds are) of the instructions of a run, but for its pauses and its end."""
    code, lengths = step.code.astype(np.int64), [form.length for form in step.forms]
    starts, k, plain, end = [], 0, step.code.tolist(), len(step.code)
    while k < end:
        starts.append(k)
        k += lengths[plain[k]]
    first = np.array(starts)
    forms = code[first]
    others, values = np.zeros(len(first), np.int64), np.zeros((len(first), max(lengths)), np.int64)
    for f, form in enumerate(step.forms):
        at = np.flatnonzero(forms == f)
        words = code[first[at, None] + np.arange(1, lengths[f])]
        other, own = _parted(step, form, words)
        others[at], values[at, : own.shape[1]] = other, own
    names = [k for k, form in enumerate(step.forms) if form.name in ("pause", "end")]
    kept = np.flatnonzero(~np.isin(forms, names))
    pairs = forms[kept] * (others.max() + 1) + others[kept]
    _, one, kinds = np.unique(pairs, return_index=True, return_inverse=True)
    examples = first[kept[one]]
    known = [(step.forms[plain[k]], plain[k + 1 : k + lengths[plain[k]]]) for k in examples.tolist()]
    return kinds, values[kept], known


def _parted(step, form, words):
    """(what has to be the same on all trips, as numbers; what may grow) of the words of instructions."""
    if form.name in MOVES:
        offset = (words[:, 2] & 0xFFFFFFFF) + (words[:, 3] << 32)
        return words[:, 1], np.column_stack([words[:, 0], offset, words[:, 4:]])
    if form.name == "index":
        rows = [index[:3] for index in step.indices]
        return 2 * _same(rows)[words[:, 3]] + (words[:, 1] < 0), words
    if form.name == "guard":
        return _same([repr(guard.attr) for guard, _ in step.guards])[words[:, 1]], words
    return np.zeros(len(words), np.int64), words


def _same(things):
    """A number for each, the same for equal ones."""
    names: dict[Any, int] = {}
    return np.array([names.setdefault(thing, len(names)) for thing in things])


def _folded(kinds, values, node, most):
    """Nodes, with loops in the place of what repeats itself; None if there are more than `most`."""
    if len(kinds) and kinds.max() >= KINDS:
        return None
    text = kinds.astype("<u4").tobytes().decode("utf-32-le")
    nodes, k = [], 0
    while k < len(text):
        period, count = _repeat(text, values, k)
        if count == 1:
            nodes.append(node(k))
        else:
            steps = values[k + period : k + 2 * period] - values[k : k + period]
            body = [node(j) for j in range(k, k + period)]
            grown = [row[: len(inner.values)] for row, inner in zip(steps, body, strict=True)]
            nodes.append(Loop(count, np.concatenate(grown), body))
        k += period * count
        if len(nodes) > most:
            return None
    return nodes


def _repeat(text, values, k):
    """(period, count) of the loop that begins at `k`; (1, 1) if none does."""
    at, head = k, text[k : k + SAME]
    while (at := text.find(head, at + 1, k + LONGEST + len(head))) > 0:
        period = at - k
        count = max(LEAST, 1 + -(-SAME // period))
        length = (count - 1) * period
        if text[k : k + length] == text[at : at + length] and _trips(values, k, period, count) == count:
            return period, _most(text, values, k, period, count)
    return 1, 1


def _most(text, values, k, period, count):
    """How many trips there are; `count` are known."""
    body = text[k : k + period]
    while True:
        more = min(2 * count, (len(text) - k) // period)
        end = k + count * period
        while count < more and text.startswith(body, end):
            count, end = count + 1, end + period
        known = _trips(values, k, period, count)
        if known < count or count < more or end + period > len(text):
            return known


def _trips(values, k, period, count):
    """How many of `count` trips, if they are so many, have words that grow by the same numbers."""
    rows = values[k : k + count * period]
    if len(rows) < count * period:
        return 0
    rows = rows.reshape(count, -1)
    wrong = np.flatnonzero((np.diff(rows, 2, axis=0) != 0).any(axis=1))
    return int(wrong[0]) + 2 if len(wrong) else count
