"""Files with right hashes that hold what no training leaves."""

import copy
import io
import json
import os
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from svmcifar.cli import main
from svmcifar.errors import ModelFileError
from svmcifar.model.persistence import load_model, save_model

STRANGE = (None, "x", -1, 1.5, 10**400, float("nan"), True, [], ["x"], {}, {"a": []})


@pytest.fixture(scope="module")
def model(train_small):
    return train_small(n_components=12)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.skops"
    save_model(model, path)
    return path


def write(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    "forge",
    {
        "no names": lambda m: setattr(m, "class_names", m.class_names[:5]),
        "names that are numbers": lambda m: setattr(m, "class_names", [*range(20)]),
        "superclasses of others": lambda m: setattr(m, "superclass_of", [-1] * 100),
        "superclasses that are text": lambda m: setattr(m, "superclass_of", ["x"] * 100),
        "unknown labels": lambda m: setattr(m, "label_kind", "middle"),
        "unknown augmentation": lambda m: setattr(m, "augment", "spin"),
        "a mean that is none": lambda m: m.features[1].mean_.__setitem__(0, np.nan),
        "components that are none": lambda m: m.features[-1].__dict__.update(
            {k: v * np.nan for k, v in vars(m.features[-1]).items() if isinstance(v, np.ndarray)}
        ),
        "coefficients that are none": lambda m: m.svc.dual_coef_.__setitem__((0, 0), np.nan),
        "support vectors of others": lambda m: m.svc.support_vectors_.sort(axis=0),
        "features of others": lambda m: m.features.steps.pop(),
    }.items(),
    ids=lambda item: item[0],
)
def test_forged_models_are_refused(model, tmp_path, forge):
    forged = copy.deepcopy(model)
    forge[1](forged)
    path = tmp_path / "forged.skops"
    save_model(forged, path)
    with pytest.raises(Exception, match=r"forged\.skops|Images can be augmented by") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def leaves(value, place=()):
    """Yield the places of all values in nested dicts."""
    for key in value:
        yield (*place, key)
        if isinstance(value[key], dict):
            yield from leaves(value[key], (*place, key))


def test_no_manifest_makes_info_fail(saved, tmp_path):
    """Each value is replaced by others, and left out."""
    members, path = members_of(saved), tmp_path / "m.skops"
    manifest = json.loads(members["manifest.json"])
    n_refused = 0
    for place in leaves(manifest):
        for value in (*STRANGE, KeyError):
            changed = copy.deepcopy(manifest)
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            if value is KeyError:
                del inner[place[-1]]
            else:
                inner[place[-1]] = value
            write(path, members | {"manifest.json": json.dumps(changed)})
            result = CliRunner().invoke(main, ["info", str(path)], catch_exceptions=False)
            assert result.exit_code in (0, 1)
            n_refused += result.exit_code
    assert n_refused > 200


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_refused(saved, tmp_path):
    members, path = members_of(saved), tmp_path / "m.skops"
    write(path, members)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("manifest.json", members["manifest.json"])
    with pytest.raises(ModelFileError, match="must be one that svmcifar wrote"):
        load_model(path)


def test_what_unpacks_to_more_than_it_is_large_is_refused(saved, tmp_path):
    path, members = tmp_path / "m.skops", members_of(saved)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ModelFileError, match="must be one that svmcifar wrote"):
        load_model(path)
    inner = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(members["model.skops"])) as old,
        zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    write(path, members | {"model.skops": inner.getvalue()})
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(path)


def test_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.skops")
    with pytest.raises(ModelFileError, match="must be readable, got 'it is a pipe or a device'"):
        load_model(tmp_path / "pipe.skops")
