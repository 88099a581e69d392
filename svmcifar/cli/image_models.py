"""Models that commands take: SVMs and networks."""

from pathlib import Path
from typing import TYPE_CHECKING

from svmcifar.errors import InputError

if TYPE_CHECKING:
    from svmcifar.data.dataset import Dataset
    from svmcifar.features.cache import FeatureCache
    from svmcifar.model.image_model import ImageModel

BUNDLED = "bundled"


def is_network(path: Path) -> bool:
    """Return whether a model's path names a network, or is the word for the bundled one."""
    from svmcifar.cnn.formats import is_network_name

    return is_network_name(path) or str(path) == BUNDLED


def network_path(path: Path, synthetic: bool) -> Path:
    """Return the path of a network's file."""
    from svmcifar.cnn.bundled import bundled_checkpoint

    return bundled_checkpoint(synthetic) if str(path) == BUNDLED else path


def load_image_model(
    path: Path,
    dataset: "Dataset | None",
    cache: "FeatureCache | None",
    jobs: int | None,
    on_gpu: bool = False,
) -> "ImageModel":
    """Load an SVM or a network; without a data set, a network's card must name its classes."""
    from svmcifar.model.persistence import load_classifier

    if not is_network(path):
        return load_classifier(path, dataset, cache, jobs)

    from svmcifar.cnn.checkpoint import load_network
    from svmcifar.compute.threads import count_workers
    from svmcifar.data.dataset import CLASSES
    from svmcifar.data.registry import DATASETS

    if on_gpu:
        raise InputError(f"{path}: a network predicts on the CPU; leave out --device")
    names = dataset.class_names(CLASSES) if dataset else None
    shape = (dataset or DATASETS[0]).description.image_shape
    file = network_path(path, synthetic=dataset is not None and dataset.is_synthetic)
    return load_network(file, names, shape, count_workers(jobs))
