"""The cache of compiled kernels on disk, for those who want to know where it is, or to empty it."""

from sparsead.engine.native.cache import clear, directory

__all__ = ["clear", "directory"]
