#!/usr/bin/env bash
# Check svmcifar on this machine's NVIDIA GPU in 8 minutes at most: environment, tests, benchmark.
#
# usage: scripts/gpu_check.sh [--here] [--out FOLDER]
#
#   --here        use the Python that there is, with all that is installed in it, and install
#                 nothing; otherwise an environment of its own is made once (.venv-gpu), which
#                 takes some minutes and GB
#   --out FOLDER  where results go, gpu-check/ by default
#
# PYTHON names the Python to use (3.11 or newer), SVMCIFAR_DATA the data set.  Where there is no
# CIFAR-100, a SYNTHETIC stand-in of the same size is drawn.  cuML takes part if it is installed.
set -euo pipefail
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
here=no
out=gpu-check
while (($# > 0)); do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --here) here=yes ;;
        --out)
            if (($# < 2)); then
                echo "error: --out must be followed by a folder, got none" >&2
                exit 2
            fi
            out=$2
            [[ $out == /* ]] || out=$PWD/$out
            shift
            ;;
        *)
            usage
            echo "error: gpu_check.sh takes --here and --out FOLDER, got: $1" >&2
            exit 2
            ;;
    esac
    shift
done
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

total_s=480
tests_s=180

# has_gpu: whether the driver is there and sees a GPU; asked before anything is installed.
has_gpu() {
    "$python" - <<'PYTHON' 2>/dev/null
import ctypes
import sys

cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
started = cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
sys.exit(not (started and count.value))
PYTHON
}

# reasons: a line each for the backends cupy and cuml, why they do not work here; empty if they do.
reasons() {
    "$python" - <<'PYTHON'
from svmcifar.svm.backends.registry import BACKENDS

for name in ("cupy", "cuml"):
    print(BACKENDS[name].why_not() or "")
PYTHON
}

if [[ $here == yes ]]; then
    python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "Python: must be 3.11 or newer, got none in: $python;" \
            "name another: PYTHON=/path/to/python3 $0 --here"
else
    find_python
    has_gpu || fail "GPU: the NVIDIA driver must see one, got none;" \
        "run this on a machine with an NVIDIA GPU, driver 580 or newer"
    # cuML holds numba and pandas below the versions in constraints.txt.
    make_venv .venv-gpu '.[gpu,dev]' ''
    python=.venv-gpu/bin/python
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
SECONDS=0

found=$(reasons) || fail "svmcifar: must run with $python, got the error above;" \
    "install it with its extras gpu and dev, or leave --here out"
why_no_cupy=$(sed -n 1p <<<"$found")
why_no_cuml=$(sed -n 2p <<<"$found")
[[ -z $why_no_cupy ]] ||
    fail "GPU: must be one that the backend 'cupy' can use, got none: $why_no_cupy"
mkdir -p "$out"

echo "== environment"
{
    "$python" -m svmcifar info
    if command -v nvidia-smi >/dev/null; then
        echo
        nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used,compute_cap \
            --format=csv || true
    fi
    echo
    "$python" -m pip list 2>/dev/null |
        grep -Ei '^(cupy|cuml|libcuml|numba|cuda-|nvidia-cu|nvidia-nv|scikit-learn|numpy)' || true
} | tee "$out/environment.txt" || fail "svmcifar info: must run with $python, got the error above"
[[ -z $why_no_cuml ]] || echo "going on without cuML: $why_no_cuml"

find_data "$python"
if [[ -z ${SVMCIFAR_DATA:-} ]] &&
    ! "$python" -c 'import svmcifar; svmcifar.open_dataset()' 2>/dev/null; then
    echo "data: CIFAR-100 is not here; drawing a SYNTHETIC stand-in of the same size"
    "$python" -m svmcifar download --synthetic --data build/gpu-check
    export SVMCIFAR_DATA=$PWD/build/gpu-check/synthetic-cifar-100
fi
echo "data: ${SVMCIFAR_DATA:-where svmcifar finds it}"

echo
echo "== tests, $tests_s s at most"
tests=passed
timeout "$tests_s" "$python" -m pytest -m gpu -p no:cacheprovider tests/gpu/test_gpu_*.py \
    2>&1 | tee "$out/tests.txt" || tests="FAILED (exit status $?)"

echo
echo "== benchmark"
benchmark=finished
"$python" scripts/bench_gpu.py --out "$out" --budget $((total_s - SECONDS - 20)) ||
    benchmark="FAILED (exit status $?)"

echo
echo "tests: $tests; benchmark: $benchmark; took $SECONDS s"
echo "results in $out/: environment.txt, tests.txt, bench.json, bench.txt, bench.md"
[[ $tests == passed && $benchmark == finished ]]
