"""What a forward loop logs for the reverse of each trip.

Law: a cut of least bytes through the body, between the carries at the head of the trip and the values that the reverse sweep
reads; of several, the one that leaves least to compute again. So a linear recurrence logs nothing, a window is logged where
only a window is read, and a sum where only the sum is.

The method is maximum flow (Ford and Fulkerson, Flows in Networks, 1962), with the bytes of a value as its capacity.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

PER_VALUE = 64  # bytes that a value of its own is worth: two ops in each trip
LARGEST = 1 << 29  # of the capacities together: SciPy counts in 32 bits


def least_cut(tape, carried, wanted):
    """Values to log, ascending.

    Parameters
    ----------
    tape : Tape
    carried : array of bool
        Flags of the values that carries have a part in.
    wanted : list of int
        Values that the reverse sweep reads.
    """
    edges, heads = _ancestry(tape, carried, [v for v in wanted if carried[v]])
    if not heads:
        return []
    return _cut_of(tape, edges, heads, [v for v in wanted if carried[v]])


def _ancestry(tape, carried, wanted):
    """(edges from operand to result, carries), as far as `wanted` is made of them."""
    edges, heads, seen, stack = [], [], set(wanted), list(wanted)
    while stack:
        v = stack.pop()
        operands = {x for x in tape.op(tape.maker(v)).operands if carried[x]}
        if not operands:
            heads.append(v)
        for x in operands:
            edges.append((x, v))
            if x not in seen:
                seen.add(x)
                stack.append(x)
    return edges, heads


def _cut_of(tape, edges, heads, wanted):
    nodes = sorted({*heads, *wanted, *(v for edge in edges for v in edge)})
    index = {v: k for k, v in enumerate(nodes)}  # a value is an edge from node 2 k to node 2 k + 1
    source, sink = 2 * len(nodes), 2 * len(nodes) + 1
    weights = np.array([tape.type(v).nbytes + PER_VALUE for v in nodes])
    weights = np.maximum(weights // (weights.sum() // LARGEST + 1), 1)
    rows = [2 * k for k in range(len(nodes))] + [2 * index[a] + 1 for a, _ in edges]
    columns = [2 * k + 1 for k in range(len(nodes))] + [2 * index[b] for _, b in edges]
    rows += [source] * len(heads) + [2 * index[v] + 1 for v in wanted]
    columns += [2 * index[v] for v in heads] + [sink] * len(wanted)
    capacities = np.full(len(rows), 2 * LARGEST, np.int32)
    capacities[: len(nodes)] = weights
    graph = csr_array((capacities, (rows, columns)), shape=(sink + 1, sink + 1))
    residual = (graph - maximum_flow(graph, source, sink).flow).tocsr()
    residual.eliminate_zeros()
    late = np.zeros(sink + 1, bool)  # nodes from which more could flow to the sink
    late[breadth_first_order(residual.T.tocsr(), sink, return_predecessors=False)] = True
    return [v for v, k in index.items() if late[2 * k + 1] and not late[2 * k]]
