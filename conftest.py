"""What every test runs under: one thread for linear algebra, no screen, its own progress file,
and no clock: an invariant that hypothesis checks holds on a busy machine, too."""

import os
import tempfile

import hypothesis
import matplotlib
import pytest

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # the same digits on every machine

scratch = tempfile.TemporaryDirectory(prefix="mlsys-")
os.environ["MLSYS_PROGRESS"] = os.path.join(scratch.name, "progress")
matplotlib.use("agg")
hypothesis.settings.register_profile(
    "course",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("course")


@pytest.fixture(autouse=True)
def its_own_figures():
    """No test, doctests included, sees the figures or the style of those before it."""
    from matplotlib import pyplot

    with matplotlib.rc_context():
        yield
    pyplot.close("all")


def pytest_unconfigure():
    scratch.cleanup()
