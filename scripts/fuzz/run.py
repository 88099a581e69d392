"""Look for faults in a reader of files, guided by the code that inputs reach (atheris).

    pip install atheris
    python scripts/fuzz/run.py READER FOLDER -max_total_time=600

FOLDER gets the inputs that reach new code (`corpus`) and those that show a fault, one of each
place in the code (`findings`).  Other arguments are libFuzzer's.  A crash ends the run; its input
is in `findings` too.  READER is one of `readers.READERS`.
"""

import hashlib
import sys
import tempfile
import warnings
from pathlib import Path
from random import Random

import atheris

_PACKAGE = Path(__file__).parents[2] / "svmcifar"
_INSTRUMENTED = ["svmcifar", "skops", "PIL", "tomllib"]
_MOST_BYTES = 2**17
_SHARE_OF_BYTES = 0.2  # of the inputs that are damaged without knowing their structure


def main() -> None:
    """Run libFuzzer."""
    name, target = sys.argv[1], Path(sys.argv[2]).absolute()
    corpus, findings = target / "corpus", target / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    with atheris.instrument_imports(include=_INSTRUMENTED, exclude=_compiled_modules()):
        from readers import READERS, fault_of

        reader = READERS[name]
        seeds = reader.seeds(scratch)
        for seed in seeds:  # what is imported at first use is instrumented too
            fault_of(reader, seed, scratch)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def try_one(content: bytes) -> None:
        if fault := fault_of(reader, content, scratch):
            place = hashlib.md5(fault.rpartition(" in ")[2].encode()).hexdigest()[:8]
            if not (path := findings / place).exists():
                path.write_bytes(content)
                (findings / f"{place}.txt").write_text(fault)
                print("FINDING", name, place, fault, flush=True)

    def mutate(content: bytes, most_bytes: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() > _SHARE_OF_BYTES:
            changed = reader.mutate(content, random)
            if len(changed) <= most_bytes:
                return changed
        return bytes(atheris.Mutate(content, len(content)))

    warnings.simplefilter("ignore")
    flags = [f"-artifact_prefix={findings}/", f"-max_len={_MOST_BYTES}", "-timeout=60"]
    flags += ["-rss_limit_mb=8000", "-print_final_stats=1", *sys.argv[3:], str(corpus)]
    atheris.Setup([sys.argv[0], *flags], try_one, custom_mutator=mutate)
    atheris.Fuzz()


def _compiled_modules() -> list[str]:
    """Return the modules with functions that numba compiles, which it cannot once instrumented."""
    paths = [path for path in _PACKAGE.rglob("*.py") if "jit" in path.read_text()]
    return [".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts) for path in paths]


if __name__ == "__main__":
    main()
