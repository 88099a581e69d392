"""svmcifar cache."""

from datetime import datetime

import click


@click.group()
def command() -> None:
    """Show or clear the feature cache.

    Features that are slow to compute are cached on disk for later commands. $SVMCIFAR_CACHE is
    the folder, $SVMCIFAR_CACHE_LIMIT its largest size, such as 20GB (0: no cache).
    """


@command.command()
def info() -> None:
    """Print the folder, the limit and all entries."""
    from svmcifar.compute.memory import format_bytes
    from svmcifar.features.cache_folder import list_entries, read_cache_settings

    folder, limit_bytes = read_cache_settings()
    entries = list_entries(folder)
    limit = format_bytes(limit_bytes) if limit_bytes else "0, the cache is off"
    total = format_bytes(sum(entry.n_bytes for entry in entries))
    click.echo(f"{'folder':13}{folder}")
    click.echo(f"{'limit':13}{limit}")
    click.echo(f"{'total':13}{total} in {_counted(len(entries))}")
    for entry in reversed(entries):
        used = f"{datetime.fromtimestamp(entry.used):%Y-%m-%d %H:%M}"
        click.echo(f"  {entry.kind:11}{format_bytes(entry.n_bytes):>10}, last used {used}")


@command.command()
def clear() -> None:
    """Remove all entries, and no other file in the folder."""
    from svmcifar.compute.memory import format_bytes
    from svmcifar.features.cache_folder import clear_entries, read_cache_settings

    folder, _ = read_cache_settings()
    removed = clear_entries(folder)
    freed = format_bytes(sum(entry.n_bytes for entry in removed))
    click.echo(f"freed {freed} in {_counted(len(removed))} of {folder}")


def _counted(n_entries: int) -> str:
    return "1 entry" if n_entries == 1 else f"{n_entries} entries"
