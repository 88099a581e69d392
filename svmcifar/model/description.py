"""What a manifest says, for people."""

from collections.abc import Mapping
from typing import Any

from svmcifar.features.augmentation import describe_views
from svmcifar.features.settings import FeatureSettings
from svmcifar.model.manifest import EstimatorManifest, Manifest


def describe_manifest(manifest: EstimatorManifest | Manifest) -> dict[str, str]:
    """Describe how a model was made, by the names of its parts."""
    if isinstance(manifest, Manifest):
        lines = _classifier_lines(manifest)
    else:
        lines = _estimator_lines(manifest)
    return {name: str(value) for name, value in lines.items()}


def _estimator_lines(manifest: EstimatorManifest) -> dict[str, Any]:
    """Describe an estimator that was saved in Python."""
    return {
        "content hash": manifest.content_hash,
        "estimator": manifest.estimator,
        "opened by": "svmcifar.load_model in Python",
        **_origin(manifest),
    }


def _origin(manifest: EstimatorManifest | Manifest) -> dict[str, str]:
    commit = f" at commit {manifest.git_commit[:12]}" if manifest.git_commit else ""
    return {
        "made": f"{manifest.created} by svmcifar {manifest.versions['svmcifar']}{commit}",
        "on": f"{manifest.host['processor']}, {manifest.host['system']}",
        "BLAS": "; ".join(manifest.host["blas"]),
    }


def _classifier_lines(manifest: Manifest) -> dict[str, Any]:
    """Describe an image classifier."""
    training, fit = manifest.training, manifest.fit
    features = training.features
    seen = describe_views(features.augment, implied=fit.n_odd > 0)
    views = f", {seen}" if seen else ""
    drawn = "" if training.rows is None else ", drawn"
    seconds = [
        f"{k[:-2].replace('_cpu', ' CPU')} {v:.1f} s"
        for k, v in manifest.times.items()
        if k.endswith("_s")
    ]
    if manifest.times.get("features_found"):
        seconds.append("features found in the cache")
    return {
        "content hash": manifest.content_hash,
        "data": manifest.data.label,
        "labels": training.label_kind,
        "samples": f"{fit.n_samples} x {fit.n_features}{views}{drawn}",
        "preset": training.preset or "none",
        "seed": training.seed,
        "features": _kinds(features),
        "PCA": _components(features),
        "class scores": _scores(features),
        "parameters": _listed({k: v for k, v in training.parameters.items() if v is not None}),
        "backend": fit.backend,
        "pairs": f"{fit.n_pairs}, {fit.unconverged_pairs} not converged, "
        f"largest KKT gap {fit.largest_gap:.3g}, {fit.n_iter} SMO steps",
        "memory plan": fit.memory_plan or "the backend's own",
        "support": f"{fit.n_support} vectors{' (slim: in the data set)' * manifest.slim}",
        "times": ", ".join(seconds),
        **_origin(manifest),
    }


def _kinds(features: FeatureSettings) -> str:
    parameters = [f"{kind}: {_listed(of_kind)}" for kind, of_kind in features.parameters.items()]
    return " + ".join(features.kinds) + (f" ({'; '.join(parameters)})" if parameters else "")


def _components(features: FeatureSettings) -> str:
    if features.n_components is None:
        return "none"
    whitened = f", divided by deviation^{features.whiten:g}" if features.whiten else ""
    return f"{features.n_components} components{whitened}"


def _scores(features: FeatureSettings) -> str:
    if not features.ridge_scores:
        return "none"
    n = features.ridge_components or features.n_components
    learned = "all features" if n is None else f"{n} components"
    if features.ridge_kernel != "linear":
        learned += f" of length one, {features.ridge_kernel} kernel, leave-one-out"
    return f"weight {features.ridge_scores:g}, by ridge regression on {learned}"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
