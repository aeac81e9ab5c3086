"""Schedules: what an engine runs. Tape to kernels, slots and steps; nothing here knows how they are run."""
