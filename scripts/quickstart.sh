#!/usr/bin/env bash
# Install svmcifar into .venv, then train, score and use a first model: a few minutes.
#
# usage: scripts/quickstart.sh
#
# Everything it makes is under runs/quickstart/, but for CIFAR-100 itself, which it downloads
# to data/ unless there is a copy.  Where it cannot be downloaded, a SYNTHETIC stand-in is
# made.  PYTHON names the Python to use (3.11 or newer), SVMCIFAR_DATA the data set.
set -euo pipefail
if (($# > 0)); then
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    case $1 in -h | --help) exit 0 ;; esac
    echo "error: quickstart.sh takes no arguments, got: $*" >&2
    exit 2
fi
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
bin=.venv/bin
out=runs/quickstart

svmcifar() {
    echo
    echo "\$ svmcifar $*"
    "$bin/svmcifar" "$@"
}

# has_data: whether svmcifar finds a data set by itself.
has_data() {
    "$bin/python" -c 'import svmcifar; svmcifar.open_dataset()' 2>/dev/null
}

# download: try to get CIFAR-100; say in one line if that does not work.
download() {
    "$bin/python" - <<'PYTHON'
import sys

from svmcifar.data.download import download_dataset
from svmcifar.errors import SvmCifarError

try:
    download_dataset("data", timeout_s=10)
except SvmCifarError as error:
    reason = " ".join(str(error.__cause__ or error).split())
    sys.exit(f"data: CIFAR-100 cannot be downloaded here: {reason}")
PYTHON
}

find_python
make_venv .venv . constraints-core.txt
SECONDS=0
mkdir -p "$out"

find_data "$bin/python"
if [[ -z ${SVMCIFAR_DATA:-} ]] && ! has_data && ! download; then
    echo "data: going on with a SYNTHETIC stand-in"
    svmcifar download --synthetic --data "$out"
    export SVMCIFAR_DATA=$PWD/$out/synthetic-cifar-100
fi
echo "data: ${SVMCIFAR_DATA:-where svmcifar finds it}"

svmcifar build-labels --out "$out/labels.csv" --overwrite
svmcifar train --labels coarse --C 1 --label-csv "$out/labels.csv" \
    --out "$out/model.skops" --overwrite
svmcifar evaluate "$out/model.skops" --json "$out/scores.json" --figure "$out/confusion.png" \
    --overwrite
svmcifar show "$out/model.skops" --out "$out/grid.png" --overwrite
svmcifar compare --cnn --svm "$out/model.skops" --out "$out/report" --overwrite

echo
echo "results in $out/:"
echo "  labels.csv   the 100 fine classes in their 20 superclasses"
echo "  model.skops  the model"
echo "  scores.json  its scores on the test images; confusion.png: its confusion matrix"
echo "  grid.png     the first nine test images with predicted and true names"
echo "  report/      CNN versus SVM: open report.html in a browser"
"$bin/python" - "$out/scores.json" <<'PYTHON'
import json
import sys

with open(sys.argv[1]) as file:
    result = json.load(file)
scores = result["scores"]
low, high = scores["accuracy_interval"]
print(
    f"accuracy {scores['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}), 20 superclasses, "
    f"{scores['n_samples']} test images, data: {result['data']}"
)
if result["data"].startswith("SYNTHETIC"):
    print("SYNTHETIC data: this accuracy says nothing about CIFAR-100")
PYTHON
echo "try it on pictures of your own: .venv/bin/svmcifar predict $out/model.skops PICTURE..."
echo "took $SECONDS s after installation"
