"""Schedules: what an engine runs. Tape to kernels, slots and steps; nothing here knows how they are run.

What is done to a tape, in this order (`planner.schedule_of`):

1. on the tape itself, `sparsead.transform._linear`, `_begin` and `_narrow`: each storage has one owner, arrays of zeros begin
   with what is added to them, and little is stored that nobody reads;
2. `planner`, with `fusion`, `indices` and `runs`: ops to kernels, calls, runs of single numbers, loops and branches, over slots
   of memory;
3. `reuse`: stores in place of what is read for the last time;
4. `axes`: the axes of kernels in the order in which they go through memory;
5. `interchange`: loops whose trips are all run for some rows before the next rows begin;
6. `strips`, with `groups` and `rings`: kernels, and trips of loops, that are run together, strip of rows by strip of rows;
7. `memory`: where in the workspace each slot is.

Of a kernel by itself: `peephole` makes it shorter, `lower` cuts it into tiles and chunks.
"""
