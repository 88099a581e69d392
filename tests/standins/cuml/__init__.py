"""As much of cuML as the package and its benchmark call, made of scikit-learn.

What it does was read from cuML 26.10; tests/svm/backends/test_cuml_ovo.py has the details.
"""

from contextlib import nullcontext

__version__ = "99.0"


def using_output_type(output_type):
    """Take a type of result; there is but one here."""
    return nullcontext()
