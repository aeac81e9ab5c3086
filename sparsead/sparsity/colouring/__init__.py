"""Colouring of sparsity patterns: which columns (or rows) may share one sweep.

Columns that have no row in common can be differentiated together, in the direction of the sum of their unit vectors,
and read back from the result. A colouring names such groups; the fewer colours, the fewer sweeps. Symmetric patterns
need fewer, as each entry stands in them twice.

Layout: ``_coloring.py`` the result; ``_first_fit.py`` the greedy algorithm for columns and rows, ``_symmetric.py`` those for
symmetric patterns, ``_bidirectional.py`` for columns and rows together, ``_exact.py``
the fewest colours of small patterns; ``_neutral.py`` colours that can be spared,
``_recovery.py`` from sums to entries, ``_orders.py`` the orders that may be followed, ``_incidence.py`` checked patterns seen
as graphs, ``_predicates.py`` slow definitions to test against; ``_greedy.pyx`` with ``greedy.c``, ``_graphs.pyx`` with
``graph.c`` and ``_substitution.pyx`` with ``recovery.c`` the loops, ``lists.c`` what the first two share.
"""

from ._bidirectional import color_bidirectional as color_bidirectional
from ._coloring import Coloring as Coloring
from ._exact import color_exactly as color_exactly
from ._first_fit import color_columns as color_columns
from ._first_fit import color_rows as color_rows
from ._incidence import transpose_pattern as transpose_pattern
from ._orders import ORDERS as ORDERS
from ._predicates import is_acyclic_bicoloring as is_acyclic_bicoloring
from ._predicates import is_acyclic_coloring as is_acyclic_coloring
from ._predicates import is_star_bicoloring as is_star_bicoloring
from ._predicates import is_star_coloring as is_star_coloring
from ._predicates import is_structurally_orthogonal as is_structurally_orthogonal
from ._recovery import Recovery as Recovery
from ._symmetric import color_symmetric as color_symmetric
