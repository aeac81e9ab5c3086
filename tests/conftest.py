"""How the tests run: which package they see, how many random examples they draw, without windows and compilers."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# `python -m pytest` puts the root of the clone first in sys.path, and with it a sparsead without compiled modules.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT]

import sparsead  # noqa: E402

sparsead.config.check_tapes = True
sparsead.config.vector_functions = False  # so that values have the bits of NumPy
sparsead.config.build_after = float("inf")  # tests that compile say so

os.environ.setdefault("MPLBACKEND", "Agg")  # for the examples; processes started by a test inherit it

# Deadlines and "too slow" measure the load of the machine, not the code. A test that sets max_examples itself is out of
# reach of SPARSEAD_TEST_EXAMPLES: let it take the default, or a multiple of settings().max_examples.
EXAMPLES = int(os.environ.get("SPARSEAD_TEST_EXAMPLES", "50"))
settings.register_profile(
    "sparsead",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=EXAMPLES,
    derandomize="CI" in os.environ,  # in CI the same programs at every run: a red build is the fault of the change
    print_blob=True,
)
settings.load_profile("sparsead")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Processes started by tests leave the user's cache of compiled kernels alone."""
    os.environ.setdefault("SPARSEAD_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def pytest_report_header() -> str:
    """Name the package under test: the installed one, and never by accident the folder beside the tests."""
    return f"sparsead {sparsead.__version__} from {os.path.dirname(sparsead.__file__)}"
