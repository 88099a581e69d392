"""svmcifar info."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from svmcifar.text import one_line

if TYPE_CHECKING:
    from svmcifar.features.settings import FeatureSettings
    from svmcifar.model.manifest import EstimatorManifest, Manifest


@click.command()
@click.argument("model_path", metavar="[MODEL]", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print MODEL's whole manifest as JSON.")
def command(model_path: Path | None, as_json: bool) -> None:
    """Describe this installation and machine, or how MODEL was made."""
    if model_path is None:
        _describe_machine()
    else:
        _describe_model(model_path, as_json)


def _describe_machine() -> None:
    """Print versions, backends with reasons, BLAS kernels and memory."""
    import joblib

    from svmcifar.compute.blas import slow_kernels_advice
    from svmcifar.compute.environment import describe_environment
    from svmcifar.compute.gpu import device_summary, why_no_cupy
    from svmcifar.compute.memory import available_bytes, format_bytes
    from svmcifar.svm.backends.registry import BACKENDS, choose_backend

    environment = describe_environment()
    for name, number in environment["versions"].items():
        click.echo(f"{name:13}{number}")
    if environment["git_commit"]:
        click.echo(f"{'git commit':13}{environment['git_commit']}")
    click.echo(f"{'system':13}{environment['host']['system']}")
    click.echo(f"{'processor':13}{environment['host']['processor']}, {joblib.cpu_count()} in use")
    click.echo(f"{'BLAS':13}{'; '.join(environment['host']['blas'])}")
    if advice := slow_kernels_advice():
        click.echo(f"{'':13}{advice}")
    available = available_bytes()
    click.echo(f"{'memory':13}{'unknown' if available is None else format_bytes(available)} free")
    click.echo(f"{'GPU':13}{device_summary() or 'none: ' + (why_no_cupy() or 'unknown')}")
    click.echo("\nbackends")
    fastest = choose_backend("auto").name
    for backend in BACKENDS.values():
        reason = backend.why_not()
        state = f"no: {reason}" if reason else "yes" + (", auto" * (backend.name == fastest))
        click.echo(f"  {backend.name:9}{backend.summary}: {state}")


def _describe_model(path: Path, as_json: bool) -> None:
    """Print how a model was made."""
    from svmcifar.model.manifest import Manifest
    from svmcifar.model.persistence import read_any_manifest

    manifest = read_any_manifest(path)
    if as_json:
        click.echo(json.dumps(manifest.to_dict(), indent=2))
        return
    lines = (
        _classifier_lines(manifest)
        if isinstance(manifest, Manifest)
        else _estimator_lines(manifest)
    )
    for name, value in lines.items():
        click.echo(f"{name:13}{one_line(str(value))}")


def _estimator_lines(manifest: "EstimatorManifest") -> dict[str, Any]:
    """Describe an estimator that was saved in Python."""
    return {
        "content hash": manifest.content_hash,
        "estimator": manifest.estimator,
        "opened by": "svmcifar.load_model in Python",
        **_origin(manifest),
    }


def _origin(manifest: "EstimatorManifest | Manifest") -> dict[str, str]:
    commit = f" at commit {manifest.git_commit[:12]}" if manifest.git_commit else ""
    return {
        "made": f"{manifest.created} by svmcifar {manifest.versions['svmcifar']}{commit}",
        "on": f"{manifest.host['processor']}, {manifest.host['system']}",
        "BLAS": "; ".join(manifest.host["blas"]),
    }


def _classifier_lines(manifest: "Manifest") -> dict[str, Any]:
    """Describe an image classifier."""
    from svmcifar.features.augmentation import describe_views

    training, fit = manifest.training, manifest.fit
    features = training.features
    views = f", {seen}" if (seen := describe_views(features.augment)) else ""
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


def _kinds(features: "FeatureSettings") -> str:
    parameters = [f"{kind}: {_listed(of_kind)}" for kind, of_kind in features.parameters.items()]
    return " + ".join(features.kinds) + (f" ({'; '.join(parameters)})" if parameters else "")


def _components(features: "FeatureSettings") -> str:
    if features.n_components is None:
        return "none"
    whitened = f", divided by deviation^{features.whiten:g}" if features.whiten else ""
    return f"{features.n_components} components{whitened}"


def _scores(features: "FeatureSettings") -> str:
    if not features.ridge_scores:
        return "none"
    n = features.ridge_components or features.n_components
    learned = "all features" if n is None else f"{n} components"
    return f"weight {features.ridge_scores:g}, by ridge regression on {learned}"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
