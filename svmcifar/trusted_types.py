"""Objects from files in skops' format, of nothing but the types that such files may hold."""

from pathlib import Path
from typing import Any

import skops.io

from svmcifar.errors import ModelFileError
from svmcifar.features.kinds import KINDS

TRUSTED = [
    *(path for _, path in KINDS.values()),
    "svmcifar.features.ridge_scores.RidgeScores",
    "svmcifar.features.stack.FeatureStack",
    "svmcifar.features.standardize.BatchStandardScaler",
    "svmcifar.features.whiten.ComponentScaling",
    "svmcifar.features.wide_pca.WidePCA",
    "svmcifar.svc.RBFSVC",
]


def read_trusted(data: bytes, subject: str | Path) -> Any:
    """Build what skops wrote.

    Parameters
    ----------
    data : bytes
    subject : str or Path
        What is read, for the error.

    Raises
    ------
    ModelFileError
        If other types are in it, naming them, before anything is built.
    """
    foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
    if foreign:
        raise ModelFileError(
            f"{subject}: a model may hold only known types, got {', '.join(foreign)}; "
            f"nothing of it was loaded; use a file that svmcifar wrote"
        )
    return skops.io.loads(data, trusted=TRUSTED)
