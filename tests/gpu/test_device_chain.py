"""The whole of a GPU run without a GPU: see standin_chain.py."""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[1]


def test_with_the_standin():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0",
         str(HERE / "standin_chain.py")],
        env={**os.environ, "PYTHONPATH": f"{HERE / 'standins'}{os.pathsep}{HERE.parent}"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^3 passed in ", done.stdout, re.MULTILINE), done.stdout
