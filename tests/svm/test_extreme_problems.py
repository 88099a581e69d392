"""Problems at the ends of what numbers can be: solved as LIBSVM solves them, refused, or said."""

import os

import pytest
from extreme_problems import hold

# More of them for a longer look: EXTREME_PROBLEMS=2000 pytest -s tests/svm/test_extreme_problems.py
SEEDS = range(int(os.environ.get("EXTREME_PROBLEMS", "20")))
# Their refinement needed more than the least memory that had been named.
TIGHT = [69, 73, 77]


@pytest.mark.parametrize("seed", [*SEEDS, *TIGHT])
def test_extreme_problems(seed):
    print(f"seed {seed}: {hold(seed)}")
