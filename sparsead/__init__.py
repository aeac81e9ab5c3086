"""Exact derivatives of NumPy simulation code that updates its arrays in place."""

from importlib.metadata import version as _version

from sparsead import cache as cache
from sparsead import config as config
from sparsead.derivatives.black_box import black_box as black_box
from sparsead.derivatives.exporting import export_c as export_c
from sparsead.derivatives.gradients import grad as grad
from sparsead.derivatives.gradients import value_and_grad as value_and_grad
from sparsead.derivatives.implicit import fixed_point as fixed_point
from sparsead.derivatives.implicit import root as root
from sparsead.derivatives.jacobians import hessian as hessian
from sparsead.derivatives.jacobians import jacobian as jacobian
from sparsead.derivatives.marks import stop_gradient as stop_gradient
from sparsead.derivatives.marks import value as value
from sparsead.derivatives.products import hvp as hvp
from sparsead.derivatives.products import jvp as jvp
from sparsead.derivatives.products import linearize as linearize
from sparsead.derivatives.products import vjp as vjp
from sparsead.engine.threads import get_num_threads as get_num_threads
from sparsead.engine.threads import set_num_threads as set_num_threads
from sparsead.tracing.control import fori_loop as fori_loop
from sparsead.tracing.control import scan as scan
from sparsead.tracing.control import while_loop as while_loop
from sparsead.tracing.errors import LeakError as LeakError
from sparsead.tracing.errors import TraceError as TraceError
from sparsead.tracing.errors import TraceLimit as TraceLimit
from sparsead.tracing.steps import steps as steps

from sparsead import numpy as numpy  # isort: skip  (after what it stands on)
from sparsead import testing as testing  # isort: skip

__version__ = _version("sparsead")
