"""One problem has one model, whichever thread or process fits it, and however BLAS is set up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1]


def lines_of(script, n_threads):
    """Run a script with a number of BLAS threads; return its lines, read as JSON."""
    done = subprocess.run(
        [sys.executable, SCRIPTS / script],
        env=os.environ | {"OPENBLAS_NUM_THREADS": n_threads},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_one_problem_has_one_hash():
    found = [
        (f"{name}, {n_threads} BLAS threads", hashes)
        for n_threads in ("1", "2")
        for name, *results in lines_of("fit_everywhere.py", n_threads=n_threads)
        for hashes in results
    ]
    assert len(found) >= 2 * 20
    assert all(hashes == found[0][1] for _, hashes in found), found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_children_can_be_forked_while_another_thread_fits():
    (found,) = lines_of("fork_while_fitting.py", n_threads="2")
    assert len(found) > 1 + 5
    assert all(hashes == found[0] for hashes in found), found


def test_scikit_learn_may_have_been_patched():
    """As by scikit-learn-intelex, whose SVC has attributes of its own."""
    code = """if True:
        import sklearn.svm
        import sklearn.svm._classes

        class Patched(sklearn.svm.SVC):
            def fit(self, *_, **__):
                raise AssertionError

            support_vectors_ = property()

        sklearn.svm.SVC = Patched
        from sklearn.datasets import load_iris
        from svmcifar import RBFSVC

        X, y = load_iris(return_X_y=True)
        svc = RBFSVC(backend="sklearn").fit(X, y).to_sklearn()
        assert type(svc) is sklearn.svm._classes.SVC
        assert svc.score(X, y) > 0.95
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
