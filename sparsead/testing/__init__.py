"""Checks for users: whether the derivatives of a function are right at a point, and whether its loops stay what they are."""

from sparsead.testing.derivatives import DerivativeError as DerivativeError
from sparsead.testing.derivatives import Report as Report
from sparsead.testing.derivatives import check_derivatives as check_derivatives
from sparsead.testing.loops import LoopError as LoopError
from sparsead.testing.loops import LoopReport as LoopReport
from sparsead.testing.loops import check_loop as check_loop
