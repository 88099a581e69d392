"""The whole of a GPU run without a GPU: see cudasim_chain.py."""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[1]


def test_in_the_simulator():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0",
         str(HERE / "cudasim_chain.py")],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(HERE / "standins")},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^3 passed in ", done.stdout, re.MULTILINE), done.stdout
