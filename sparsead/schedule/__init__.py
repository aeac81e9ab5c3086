"""Schedules: what an engine runs. Tape to kernels, slots and steps; nothing here knows how they are run.

What is done to a tape, in this order (`planner.schedule_of`):

0. On the tape itself, `sparsead.transform._linear`, `_begin` and `_narrow`: each storage has one owner, arrays of zeros begin
   with what is added to them first, and little is stored that nobody reads;
1. `planner`, with `fusion`, `indices` and `runs`: ops to kernels, calls, runs of single numbers, loops and branches, over
   slots of memory;
2. `reuse`: stores in place of what is read for the last time;
3. `interchange`: loops whose trips are all run for some rows before the next rows begin;
4. `strips`, with `groups` and `rings`: kernels, and trips of loops, that are run together, strip of rows by strip of rows;
5. `memory`: where in the workspace each slot is.

Of a kernel by itself: `peephole` makes it shorter, `lower` cuts it into tiles and chunks.
"""
