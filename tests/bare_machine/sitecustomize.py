"""On its path a process lacks packages that a machine with a GPU may lack; see docs/gpu.md."""

import sys
from importlib import metadata

MISSING = ("array_api_strict", "prettytable", "skops", "wcwidth")

sys.modules.update(dict.fromkeys(MISSING))
_distribution = metadata.distribution


def distribution(name):
    if name.replace("-", "_") in MISSING:
        raise metadata.PackageNotFoundError(name)
    return _distribution(name)


metadata.distribution = distribution
