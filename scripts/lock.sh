#!/usr/bin/env bash
# Write constraints.txt and constraints-core.txt anew: what '.[dev]' and '.' install, with the
# SHA-256 of every file of every package.
#
# usage: scripts/lock.sh [--upgrade]
#
# Versions stay where they can; with --upgrade they become the newest.  Run scripts/test.sh after it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

find_python
make_venv .venv-test '.[dev]'

# compile FILE TARGET ARGUMENTS: setuptools builds svmcifar, so it is locked too.
compile() {
    local file=$1 target=$2
    shift 2
    echo 'setuptools>=77' | .venv-test/bin/uv pip compile --quiet --universal \
        --python-version 3.11.5 --generate-hashes --no-annotate --no-header \
        --output-file "$file" pyproject.toml - "$@" >/dev/null
    {
        echo "# What '$target' installs on Python 3.11; scripts/lock.sh writes it."
        grep -v '^#' "$file"
    } >"$file.new"
    mv "$file.new" "$file"
}

compile constraints.txt '.[dev]' --extra dev "$@"
compile constraints-core.txt . --constraints constraints.txt
