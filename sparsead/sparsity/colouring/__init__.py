"""Colouring of sparsity patterns: which columns (or rows) may share one sweep.

Columns that have no row in common can be differentiated together, in the direction of the sum of their unit vectors,
and read back from the result. A colouring names such groups; the fewer colours, the fewer sweeps.

Layout: ``_coloring.py`` the result, ``_first_fit.py`` the greedy algorithm, ``_orders.py`` the orders it may follow,
``_incidence.py`` checked patterns seen as graphs, ``_predicates.py`` slow definitions to test against, ``_greedy.pyx``
and ``greedy.c`` the loops.
"""

from ._coloring import Coloring as Coloring
from ._first_fit import color_columns as color_columns
from ._first_fit import color_rows as color_rows
from ._incidence import transpose_pattern as transpose_pattern
from ._orders import ORDERS as ORDERS
from ._predicates import is_structurally_orthogonal as is_structurally_orthogonal
