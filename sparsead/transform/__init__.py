"""Transforms from tape to tape, one law per file: tangent, adjoint, batching, simplification, linear storage,
zeros that begin with what is added to them, stores of what is read.
"""
