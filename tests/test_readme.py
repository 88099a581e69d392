"""The README's examples in Python run."""

import re
from pathlib import Path

from sklearn.datasets import load_iris

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.+?)```", README, flags=re.S)
    assert len(blocks) == 2
    X, y = load_iris(return_X_y=True)
    names = {"X": X, "y": y, "X_new": X[::7]}
    for block in blocks:
        exec(block, names)
    found = names["found"]
    assert len(found.table) == 4
    assert found.best_estimator.score(X, y) > 0.95
    again = names["load_model"]("svc.skops")
    assert again.predict(X).tolist() == names["svc"].predict(X).tolist()
    printed = float(re.search(r"model\.score\(.*# (\d\.\d+)", README)[1])
    score = names["model"].score(names["images"][1200:], names["digits"][1200:])
    assert round(score, 2) == printed
