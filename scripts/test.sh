#!/usr/bin/env bash
# Check the code and run the tests, in an environment of their own (.venv-test).
#
# usage: scripts/test.sh [PYTEST ARGUMENTS]
#
# Paths in the arguments are relative to the top of the checkout.  PYTHON names the Python to
# use (3.11 or newer), SVMCIFAR_DATA the data set.  Tests on the official CIFAR-100 run where
# it is found, and are skipped elsewhere.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

find_python
make_venv .venv-test '.[dev]'
bin=.venv-test/bin
find_data "$bin/python"
echo "data: ${SVMCIFAR_DATA:-CIFAR-100 not named and none in data/}"

echo "ruff check"
"$bin/ruff" check --quiet svmcifar tests scripts
echo "ruff format --check"
"$bin/ruff" format --quiet --check svmcifar tests scripts
echo "mypy"
"$bin/mypy" --no-error-summary

# A worker a processor, four at most for memory, and one BLAS thread each.
workers=$("$bin/python" -c 'import joblib; print(min(joblib.cpu_count(), 4))')
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
echo "pytest, $workers workers"
exec "$bin/python" -m pytest -n "$workers" "$@"
