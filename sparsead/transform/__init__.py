"""Transforms from tape to tape, one law per file: tangent, adjoint, batching, simplification, linear storage."""
