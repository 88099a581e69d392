"""svmcifar info."""

import json
from pathlib import Path

import click

from svmcifar.text import one_line


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
    from svmcifar.model.description import describe_manifest
    from svmcifar.model.persistence import read_any_manifest

    manifest = read_any_manifest(path)
    if as_json:
        click.echo(json.dumps(manifest.to_dict(), indent=2))
        return
    for name, value in describe_manifest(manifest).items():
        click.echo(f"{name:13}{one_line(value)}")
