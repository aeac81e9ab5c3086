"""Settings of the process, plain module attributes."""

max_ops: int = 20_000_000
"""Length of a trace at which it is stopped as an endless loop."""

note_after: float = 2.0
"""Seconds after which a trace that goes on says so, once, with the line it is at."""

max_recordings: int = 16
"""Tapes kept per prepared function: one for each path, shape and aliasing pattern; the least recently used goes first."""

max_peeled: int = 24
"""Steps of ``sparsead.steps`` that are traced one by one before a loop whose steps are not alike is refused."""

max_steps: int = 1_000_000
"""Steps after which ``sparsead.steps(None, until=...)`` is stopped as an endless loop."""

short_loop: int = 8
"""Loops of at most so many steps are unrolled, unless ``unroll=False`` says otherwise."""

max_pieces: int = 16
"""Loops into which branches on the counter may cut one ``sparsead.steps``."""

max_branches: int = 16
"""Paths through the body of a loop."""

vector_functions: bool = True
"""Let programs made from now on take exp, sin, log and others from sparsead's own vector functions where these are faster than
NumPy's; they are right to 1.5 units in the last place, but have not always NumPy's bits."""

build_after: float = 1e9
"""Work of a program, in instructions for one point each, after which ``engine="auto"`` has its kernels compiled; more if their
source is long. It takes 0.3 to 2 seconds, and so do compilers. ``math.inf``: never."""

build_seconds: float = 120.0
"""Seconds after which a compiler is stopped; the tiled engine then does the work."""

cache_bytes: int = 1 << 28
"""Size of the cache of compiled kernels on disk; those that have not been used for longest go first."""

check_tapes: bool = False
"""Check the tape that each pass makes: for tests of sparsead itself."""
