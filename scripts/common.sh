# shellcheck shell=bash
# What the scripts beside it share; sourced by them, never run.
# It changes to the top of the checkout.

fail() {
    echo "error: $*" >&2
    exit 1
}

# Paths that the caller gave are relative to where the caller stands, not to the checkout.
from_here() {
    case $1 in
        /* | "~"*) echo "$1" ;;
        *) echo "$PWD/$1" ;;
    esac
}
if [[ -n ${SVMCIFAR_DATA:-} ]]; then
    SVMCIFAR_DATA=$(from_here "$SVMCIFAR_DATA")
    export SVMCIFAR_DATA
fi
if [[ ${PYTHON:-} == */* ]]; then
    PYTHON=$(from_here "$PYTHON")
fi
CDPATH='' cd -P "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# find_python: set `python` to a Python that is new enough and can make environments.
find_python() {
    local candidates=(python3 python3.11 python3.12 python3.13 python3.14)
    if [[ -n ${PYTHON:-} ]]; then
        candidates=("$PYTHON")
    fi
    for python in "${candidates[@]}"; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$python" -c 'import ensurepip, venv' 2>/dev/null ||
                fail "$python: needs its modules venv and ensurepip, got none;" \
                    "install python3-venv (Debian, Ubuntu) or name another Python: PYTHON=..."
            # Not an environment's own: that may be the one that is made anew.
            if "$python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)'; then
                python=$("$python" -c 'import sys; print(sys._base_executable)')
            fi
            return
        fi
    done
    fail "Python: must be 3.11 or newer, got none in: ${candidates[*]};" \
        "install one, or name it: PYTHON=/path/to/python3 $0"
}

# works VENV: whether svmcifar of this very checkout runs there.
works() {
    local where='import svmcifar.cli; print(svmcifar.__file__)'
    [[ $("$1/bin/python" -P -c "$where" 2>/dev/null) == "$PWD/svmcifar/__init__.py" ]]
}

# make_venv VENV TARGET [LOCK]: make or update an environment with TARGET ('.' or '.[dev]') in
# it, and of all else the very files that LOCK lists by hash (constraints.txt; '' for the newest).
# The stamp in it tells what it was made from.  Without a stamp it is somebody else's, and
# is never altered.
make_venv() {
    local venv=$1 target=$2 lock=${3-constraints.txt} stamp=$1/svmcifar-stamp wanted
    unset PYTHONPATH # or what is there would hide what is in the environment
    if [[ -e $venv && ! -e $stamp ]]; then
        works "$venv" || fail "$venv: must be made by this script or run svmcifar from here," \
            "got neither; move it away"
        echo "environment: $venv, used as it is (this script did not make it)"
        return
    fi
    wanted=$("$python" -V; echo "$target"; cat ${lock:+"$lock"} pyproject.toml)
    if ! is_sound "$venv" "$stamp"; then
        echo "environment: making $venv with $("$python" -V)"
        rm -rf "$venv"
        mkdir "$venv"
        touch "$stamp"
        "$python" -m venv "$venv"
    elif [[ $(<"$stamp") == "$wanted" ]]; then
        echo "environment: $venv, up to date"
        return
    fi
    echo "environment: installing $target into $venv"
    : >"$stamp"
    local install=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
    if [[ -n $lock ]]; then
        "${install[@]}" --require-hashes --requirement "$lock"
        install+=(--no-deps --no-build-isolation) # what builds it is in the lock too
    fi
    "${install[@]}" --editable "$target"
    echo "$wanted" >"$stamp"
}

# is_sound VENV STAMP: whether it was finished, and is whole, and made with this Python.
is_sound() {
    [[ -s $2 && $("$1/bin/python" -V 2>&1) == "$("$python" -V)" ]] &&
        works "$1" && "$1/bin/python" -m pip check >/dev/null 2>&1
}

# find_data PYTHON: unless SVMCIFAR_DATA is set, set it to a copy of CIFAR-100 in data/, or to
# an archive in data/ or in a folder beside the checkout, which is unpacked into build/ once.
# Finding none is no error.
find_data() {
    local archive folder=build/cifar-100-python
    if [[ -n ${SVMCIFAR_DATA:-} ]]; then
        return
    elif [[ -f data/cifar-100-python/train ]]; then
        export SVMCIFAR_DATA=$PWD/data/cifar-100-python
        return
    fi
    for archive in {data,../*}/cifar-100-python.tar.{gz,xz,bz2}; do
        if [[ -f $archive ]]; then
            if [[ ! $folder/train -nt $archive ]]; then
                echo "data: unpacking $archive into $folder"
                unpack "$1" "$archive" "$folder" || fail "$archive: must be a whole archive of" \
                    "CIFAR-100, got one that does not unpack; remove it or get it again"
            fi
            export SVMCIFAR_DATA=$PWD/$folder
            return
        fi
    done
}

# unpack PYTHON ARCHIVE FOLDER: write the data files of ARCHIVE to FOLDER, all or none.
unpack() {
    rm -rf "$3" "$3.part"
    mkdir -p "$3.part"
    "$1" - "$2" "$3.part" <<'PYTHON' || return 1
import shutil
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

from svmcifar.data.cifar100 import CIFAR_100
from svmcifar.data.locations import ARCHIVE_ERRORS, data_member_name

wanted = set(CIFAR_100.files)
with suppress(*ARCHIVE_ERRORS, OSError), tarfile.open(sys.argv[1]) as archive:
    for member in archive:
        if (name := data_member_name(member, CIFAR_100)) and (stream := archive.extractfile(member)):
            with Path(sys.argv[2], name).open("wb") as file:
                shutil.copyfileobj(stream, file)
            wanted.discard(name)
sys.exit(bool(wanted))
PYTHON
    mv "$3.part" "$3"
}
