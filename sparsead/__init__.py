"""Exact derivatives of NumPy simulation code that updates its arrays in place."""

from importlib.metadata import version as _version

from sparsead import cache as cache
from sparsead import config as config
from sparsead.activities.annotations import Active as Active
from sparsead.activities.annotations import BatchDuplicated as BatchDuplicated
from sparsead.activities.annotations import BatchDuplicatedNoNeed as BatchDuplicatedNoNeed
from sparsead.activities.annotations import BatchMixedDuplicated as BatchMixedDuplicated
from sparsead.activities.annotations import Const as Const
from sparsead.activities.annotations import Duplicated as Duplicated
from sparsead.activities.annotations import DuplicatedNoNeed as DuplicatedNoNeed
from sparsead.activities.annotations import MixedDuplicated as MixedDuplicated
from sparsead.activities.annotations import Ref as Ref
from sparsead.activities.annotations import WriteOnly as WriteOnly
from sparsead.activities.autodiff import autodiff as autodiff
from sparsead.activities.autodiff import autodiff_thunk as autodiff_thunk
from sparsead.activities.modes import Combined as Combined
from sparsead.activities.modes import Forward as Forward
from sparsead.activities.modes import ForwardWithPrimal as ForwardWithPrimal
from sparsead.activities.modes import NoPrimal as NoPrimal
from sparsead.activities.modes import Reverse as Reverse
from sparsead.activities.modes import ReverseHolomorphic as ReverseHolomorphic
from sparsead.activities.modes import ReverseHolomorphicWithPrimal as ReverseHolomorphicWithPrimal
from sparsead.activities.modes import ReverseSplitModified as ReverseSplitModified
from sparsead.activities.modes import ReverseSplitNoPrimal as ReverseSplitNoPrimal
from sparsead.activities.modes import ReverseSplitWidth as ReverseSplitWidth
from sparsead.activities.modes import ReverseSplitWithPrimal as ReverseSplitWithPrimal
from sparsead.activities.modes import ReverseWithPrimal as ReverseWithPrimal
from sparsead.activities.modes import Split as Split
from sparsead.activities.modes import WithPrimal as WithPrimal
from sparsead.activities.modes import clear_strong_zero as clear_strong_zero
from sparsead.activities.modes import needs_primal as needs_primal
from sparsead.activities.modes import set_strong_zero as set_strong_zero
from sparsead.activities.modes import strong_zero as strong_zero
from sparsead.activities.rules import RuleConfig as RuleConfig
from sparsead.activities.rules import rule as rule
from sparsead.activities.second import hvp_and_gradient as hvp_and_gradient
from sparsead.activities.second import hvp_inplace as hvp_inplace
from sparsead.activities.zeros import chunked_onehot as chunked_onehot
from sparsead.activities.zeros import make_zero as make_zero
from sparsead.activities.zeros import make_zero_inplace as make_zero_inplace
from sparsead.activities.zeros import onehot as onehot
from sparsead.activities.zeros import remake_zero as remake_zero
from sparsead.derivatives.black_box import black_box as black_box
from sparsead.derivatives.diagonals import hessian_diagonal as hessian_diagonal
from sparsead.derivatives.exporting import export_c as export_c
from sparsead.derivatives.gradients import grad as grad
from sparsead.derivatives.gradients import value_and_grad as value_and_grad
from sparsead.derivatives.implicit import fixed_point as fixed_point
from sparsead.derivatives.implicit import root as root
from sparsead.derivatives.jacobians import hessian as hessian
from sparsead.derivatives.jacobians import jacobian as jacobian
from sparsead.derivatives.marks import stop_gradient as stop_gradient
from sparsead.derivatives.marks import value as value
from sparsead.derivatives.operators import hessian_operator as hessian_operator
from sparsead.derivatives.operators import jacobian_operator as jacobian_operator
from sparsead.derivatives.products import hvp as hvp
from sparsead.derivatives.products import jvp as jvp
from sparsead.derivatives.products import linearize as linearize
from sparsead.derivatives.products import vjp as vjp
from sparsead.derivatives.separable import element_jacobian as element_jacobian
from sparsead.derivatives.separable import residual_jacobian as residual_jacobian
from sparsead.derivatives.values import value_and_hessian as value_and_hessian
from sparsead.derivatives.values import value_and_jacobian as value_and_jacobian
from sparsead.derivatives.values import value_gradient_and_hessian as value_gradient_and_hessian
from sparsead.engine.threads import get_num_threads as get_num_threads
from sparsead.engine.threads import set_num_threads as set_num_threads
from sparsead.tracing.control import fori_loop as fori_loop
from sparsead.tracing.control import scan as scan
from sparsead.tracing.control import while_loop as while_loop
from sparsead.tracing.errors import ActivityError as ActivityError
from sparsead.tracing.errors import LeakError as LeakError
from sparsead.tracing.errors import TraceError as TraceError
from sparsead.tracing.errors import TraceLimit as TraceLimit
from sparsead.tracing.steps import steps as steps

from sparsead import numpy as numpy  # isort: skip  (after what it stands on)
from sparsead import scipy as scipy  # isort: skip
from sparsead import testing as testing  # isort: skip

__version__ = _version("sparsead")
