"""The laws of loops, one in each file: what a pass makes of a loop, by applying itself to the loop's body."""

from __future__ import annotations

import functools


def remembered(law):
    """A function of a loop and of hashable arguments that keeps its results with the loop, and lives no longer."""

    @functools.wraps(law)
    def found(loop, *args):
        key = (law, *args)
        if key not in loop.memo:
            loop.memo[key] = law(loop, *args)
        return loop.memo[key]

    return found
