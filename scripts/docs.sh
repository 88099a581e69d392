#!/usr/bin/env bash
# Build the documentation into build/docs/html, without a warning, and run its notebooks.
#
# usage: scripts/docs.sh
#
# Notebooks work on a SYNTHETIC stand-in for CIFAR-100, which is drawn once.  PYTHON names the
# Python to use (3.11 or newer).
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

find_python
make_venv .venv-test '.[dev]'
export PATH=$PWD/.venv-test/bin:$PATH
export SVMCIFAR_DATA=$PWD/build/docs/synthetic-cifar-100
if [[ ! -d $SVMCIFAR_DATA ]]; then
    svmcifar download --quiet --synthetic --data build/docs
fi
sphinx-build --fail-on-warning --keep-going --quiet docs build/docs/html
echo "docs: build/docs/html/index.html"
