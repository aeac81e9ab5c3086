"""The tiled engine: schedules run by C, tile by tile."""

from sparsead.engine.vm._vm import Program

__all__ = ["Program"]
