#!/usr/bin/env bash
# Check svmcifar on this machine's NVIDIA GPU in 5 minutes at most: kernels, tests, benchmark.
#
# usage: scripts/gpu_check.sh [--here] [--ncu | --blocks] [--out FOLDER]
#
#   --here        use the Python that there is, with all that is installed in it, and install
#                 nothing; otherwise an environment of its own is made once (.venv-gpu), which
#                 takes some minutes and GB
#   --ncu         instead of further tests, look into the SMO kernels with Nsight Compute
#   --blocks      instead of tests and benchmark, time the SMO kernels in blocks of other sizes
#   --out FOLDER  where results go, gpu-check/ by default: summary.txt, bench.json, bench.txt or
#                 blocks.json, and all that was written in results.tgz; also if it stops early
#
# It stops within half a minute if the GPU or the kernels do not work at all.  PYTHON names the
# Python to use (3.11 or newer), SVMCIFAR_DATA the data set.  Where there is no CIFAR-100, a
# SYNTHETIC stand-in of the same size is drawn.  cuML takes part if it is installed, and
# compute-sanitizer if it is there.
set -euo pipefail
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
here=no
kind=check
out=gpu-check
while (($# > 0)); do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --here) here=yes ;;
        --ncu | --blocks) kind=${1#--} ;;
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
            echo "error: gpu_check.sh takes --here, --ncu, --blocks and --out FOLDER, got: $1" >&2
            exit 2
            ;;
    esac
    shift
done
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

total_s=300
least_s=5 # no step is started with less

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
    timeout 30 "$python" - <<'PYTHON'
from svmcifar.svm.backends.registry import BACKENDS

for name in ("cupy", "cuml"):
    print(BACKENDS[name].why_not() or "")
PYTHON
}

# environment: what there is, for the record.
environment() {
    "$python" -m svmcifar info
    if command -v nvidia-smi >/dev/null; then
        echo
        nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used,compute_cap,clocks.sm \
            --format=csv || true
    fi
    echo
    "$python" -V
    "$python" -m pip list 2>/dev/null |
        grep -Ei '^(cupy|cuml|libcuml|numba|llvmlite|cuda-|nvidia-(cu|nv)|scikit-learn|scipy|numpy)' ||
        true
}

# prepare: beside the first steps, draw the data if need be, and compile what tests and benchmark
# compare with.
prepare() {
    if [[ $draw == yes ]]; then
        "$python" -m svmcifar download --synthetic --data build/gpu-check || return
    fi
    if [[ $kind == check ]]; then
        "$python" - <<'PYTHON'
import numpy as np

from svmcifar import RBFSVC

X, y = np.random.default_rng(0).normal(size=(600, 64)), np.arange(600) % 5
for dtype in (np.float32, np.float64):
    RBFSVC(backend="numba").fit(X.astype(dtype), y).predict(X.astype(dtype))
PYTHON
    fi
}

# note LINE: print a line, and keep it for the summary.
note() { echo "$*" | tee -a "$work/summary.txt"; }

# step NAME SECONDS COMMAND...: run a command, for so long at most and no longer than there is
# time; keep what it prints, and note how it went.  Its failure is the function's.
step() {
    local name=$1 limit=$2 left=$((total_s - SECONDS)) begun=$SECONDS status=0
    shift 2
    ((limit < left)) || limit=$left
    if ((limit < least_s)); then
        note "$name: NOT RUN, no time left"
        all_passed=no
        return 1
    fi
    echo
    echo "== $name, $limit s at most"
    # As Ctrl-C, so that tests say what they have found.
    timeout --signal=INT --kill-after=5 "$limit" "$@" 2>&1 | tee "$work/$name.txt" || status=$?
    local how=passed
    if ((status != 0)); then
        how="FAILED (exit status $status)"
        all_passed=no
    fi
    if ((status == 124 || status == 137)); then
        how="FAILED (out of time)"
    fi
    note "$name: $how, $((SECONDS - begun)) s"
    pack
    return "$status"
}

# pack: put results into few files; after each step, lest they be lost.
pack() {
    local file
    for file in summary.txt bench.json bench.txt blocks.json; do
        [[ ! -f $work/$file ]] || cp "$work/$file" "$out"
    done
    tar -czf "$out/results.tgz" -C "$work" . || true # of what is being written, some
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

found=$(reasons) || fail "svmcifar: must run with $python, got the error above, or nothing in 30 s;" \
    "install it with its extras gpu and dev, or leave --here out"
why_no_cupy=$(sed -n 1p <<<"$found")
why_no_cuml=$(sed -n 2p <<<"$found")
[[ -z $why_no_cupy ]] ||
    fail "GPU: must be one that the backend 'cupy' can use, got none: $why_no_cupy"

mkdir -p "$out"
work=$(mktemp -d) caches=$(mktemp -d)
prepared=
finish() {
    [[ -z $prepared ]] || kill "$prepared" 2>/dev/null || true
    pack
    rm -rf "$work" "$caches"
}
trap finish EXIT
# So that compilation is timed, and nothing is taken from an older version.
export CUPY_CACHE_DIR=$caches/cupy NUMBA_CACHE_DIR=$caches/numba
all_passed=yes

find_data "$python"
draw=no
if [[ -z ${SVMCIFAR_DATA:-} ]] &&
    ! "$python" -c 'import svmcifar; svmcifar.open_dataset()' 2>/dev/null; then
    draw=yes
    export SVMCIFAR_DATA=$PWD/build/gpu-check/synthetic-cifar-100
    note "data: CIFAR-100 is not here; drawing a SYNTHETIC stand-in of the same size"
else
    note "data: ${SVMCIFAR_DATA:-where svmcifar finds it}"
fi
[[ -z $why_no_cuml ]] || note "going on without cuML: $why_no_cuml"

export python kind draw
export -f environment prepare
step environment 20 bash -c environment || true
timeout 90 bash -c prepare >"$work/prepare.txt" 2>&1 &
prepared=$!

step kernels 30 "$python" scripts/gpu_smoke.py ||
    fail "GPU: each kernel must solve a small problem, got the output above"

# Its failure shows in what needs it.
wait "$prepared" || note "preparations: FAILED, see prepare.txt in results.tgz"
prepared=

# solver_tests, benchmark SECONDS: as steps.
pytest=("$python" -m pytest -m gpu -q -p no:cacheprovider --durations=5)
solver_tests() { step solver 70 "${pytest[@]}" tests/gpu/test_gpu_solver.py || true; }
benchmark() {
    local limit=$1 left=$((total_s - SECONDS))
    ((limit < left)) || limit=$left
    step benchmark "$limit" \
        "$python" scripts/bench_gpu.py --out "$work" --budget $((limit - least_s)) || true
}

case $kind in
    check)
        solver_tests
        benchmark 110
        step parity 60 "${pytest[@]}" tests/gpu/test_gpu_parity.py || true
        if command -v compute-sanitizer >/dev/null; then
            for tool in racecheck memcheck; do
                step "$tool" 30 compute-sanitizer --tool "$tool" --error-exitcode 9 \
                    "$python" scripts/gpu_smoke.py --samples 40 --steps 20 || true
            done
        fi
        ;;
    ncu)
        solver_tests
        benchmark 80
        step ncu 100 ncu --clock-control none --set detailed --section WarpStateStats \
            --kernel-name regex:smo "$python" scripts/gpu_blocks.py --once || true
        ;;
    blocks)
        step blocks 150 "$python" scripts/gpu_blocks.py --out "$work" || true
        ;;
esac

note "took $SECONDS s; results in $out/"
[[ $all_passed == yes ]]
