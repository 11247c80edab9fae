"""What every test runs under: one thread for each linear-algebra call, and a progress file of its own."""

import os
import tempfile

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # the same digits on every machine
os.environ["MLSYS_PROGRESS"] = os.path.join(tempfile.mkdtemp(), "progress.json")
os.environ["MPLBACKEND"] = "agg"  # draws without a screen; a notebook's kernel sets its own
