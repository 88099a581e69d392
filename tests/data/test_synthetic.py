"""The synthetic stand-in for CIFAR-100."""

import errno
import hashlib
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from svmcifar.data import synthetic
from svmcifar.data.synthetic import write_synthetic
from svmcifar.errors import OutputError

FILE_NAMES = {"train", "test", "meta", "SYNTHETIC.md5", "README.txt"}

# Of three training images and two test images per class, with the default seed.
PINNED_MD5S = {
    "train": "a6ee2a4130dbe0fe3936f42487dc041f",
    "test": "f772d52b0da8e88bec712a77a072115b",
    "meta": "f9c171ef197fadb1327848158c23548d",
}

CIFAR_NAMES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus "
    "butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch "
    "crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo "
    "keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse "
    "mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy "
    "porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television "
    "tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)


def write_small(folder, train_per_class=3, test_per_class=2, **options):
    return write_synthetic(
        folder,
        train_per_class=train_per_class,
        test_per_class=test_per_class,
        progress=False,
        **options,
    )


def unpickle(path):
    return pickle.loads(path.read_bytes(), encoding="bytes")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def md5s(folder):
    return {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in PINNED_MD5S}


def images_by_name(folder, split):
    columns = unpickle(folder / split)
    return dict(zip(columns[b"filenames"], columns[b"data"], strict=True))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("synthetic") / "small")


@pytest.fixture(scope="module")
def meta(small):
    return unpickle(small / "meta")


@pytest.mark.parametrize(("split", "n_per_class"), [("train", 3), ("test", 2)])
def test_split_has_the_official_format(small, split, n_per_class):
    content = (small / split).read_bytes()
    columns = unpickle(small / split)
    n_images = 100 * n_per_class

    assert content[:2] == b"\x80\x02"
    assert list(columns) == [
        b"filenames",
        b"batch_label",
        b"fine_labels",
        b"coarse_labels",
        b"data",
    ]
    assert type(columns[b"batch_label"]) is bytes
    for key, kind in {b"filenames": bytes, b"fine_labels": int, b"coarse_labels": int}.items():
        assert type(columns[key]) is list
        assert len(columns[key]) == n_images
        assert {type(item) for item in columns[key]} == {kind}
    assert type(columns[b"data"]) is np.ndarray
    assert columns[b"data"].dtype == np.uint8
    assert columns[b"data"].shape == (n_images, 3072)
    assert columns[b"data"].flags.c_contiguous


def test_other_readers_of_python_2_pickles_see_text(small):
    columns = pickle.loads((small / "test").read_bytes(), encoding="latin1")
    assert type(columns["batch_label"]) is str
    assert columns["data"].shape == (200, 3072)


def test_names_have_the_official_format(meta):
    assert list(meta) == [b"fine_label_names", b"coarse_label_names"]
    for names, count in zip(meta.values(), (100, 20), strict=True):
        assert type(names) is list
        assert {type(name) for name in names} == {bytes}
        assert len(set(names)) == count
        assert names == sorted(names)


def test_everything_says_that_it_is_synthetic(small, meta):
    for split in ("train", "test"):
        columns = unpickle(small / split)
        assert columns[b"batch_label"].startswith(b"SYNTHETIC")
        assert all(name.startswith(b"synthetic_") for name in columns[b"filenames"])
    assert (small / "README.txt").read_text().startswith("SYNTHETIC")
    words = b"_".join(meta[b"fine_label_names"]).decode().split("_")
    assert not set(words) & set(CIFAR_NAMES.replace("_", " ").split())


def test_every_class_has_its_images(small):
    train, test = unpickle(small / "train"), unpickle(small / "test")
    assert np.bincount(train[b"fine_labels"]).tolist() == [3] * 100
    assert np.bincount(test[b"fine_labels"]).tolist() == [2] * 100
    names = train[b"filenames"] + test[b"filenames"]
    assert len(set(names)) == 500
    pictures = np.concatenate([train[b"data"], test[b"data"]])
    assert len(np.unique(pictures, axis=0)) == 500


def test_labels_fit_the_file_names(small, meta):
    for split in ("train", "test"):
        columns = unpickle(small / split)
        for label, name in zip(columns[b"fine_labels"], columns[b"filenames"], strict=True):
            assert meta[b"fine_label_names"][label] in name


def test_superclasses_are_the_same_five_classes_in_both_splits(small, meta):
    train, test = unpickle(small / "train"), unpickle(small / "test")
    pairs = set(zip(train[b"fine_labels"], train[b"coarse_labels"], strict=True))
    assert pairs == set(zip(test[b"fine_labels"], test[b"coarse_labels"], strict=True))
    assert len(pairs) == 100
    coarse = np.array([label for _, label in sorted(pairs)])
    assert np.bincount(coarse).tolist() == [5] * 20
    for fine_label, coarse_label in pairs:
        shape = meta[b"coarse_label_names"][coarse_label].removesuffix(b"s")
        assert meta[b"fine_label_names"][fine_label].endswith(b"_" + shape)
    assert not np.array_equal(coarse, np.arange(100) // 5)
    assert not np.array_equal(coarse, np.arange(100) % 20)


def test_images_are_shuffled(small):
    labels = np.array(unpickle(small / "train")[b"fine_labels"])
    assert np.mean(np.diff(labels) == 0) < 0.05
    assert np.mean(np.diff(labels) > 0) < 0.6


def test_checksums_are_those_of_the_files(small):
    lines = (small / "SYNTHETIC.md5").read_text().splitlines()
    assert lines == [f"{md5}  {name}" for name, md5 in md5s(small).items()]


def test_bytes_are_pinned(small):
    assert md5s(small) == PINNED_MD5S


@pytest.mark.parametrize("n_threads", [1, 5])
def test_bytes_do_not_depend_on_threads_or_batches(small, tmp_path, monkeypatch, n_threads):
    monkeypatch.setattr(joblib, "cpu_count", lambda: n_threads)
    monkeypatch.setattr(synthetic, "_BATCH_SIZE", 2)
    assert contents(write_small(tmp_path / "again")) == contents(small)


def test_the_seed_changes_images_and_order(small, tmp_path):
    other = unpickle(write_small(tmp_path / "other", seed=1) / "train")
    first = unpickle(small / "train")
    assert other[b"fine_labels"] != first[b"fine_labels"]
    shared = {row.tobytes() for row in first[b"data"]} & {row.tobytes() for row in other[b"data"]}
    assert not shared


def test_a_larger_set_holds_the_images_of_a_smaller_one(small, tmp_path):
    large = images_by_name(write_small(tmp_path / "large", 5, 2), "train")
    for name, image in images_by_name(small, "train").items():
        np.testing.assert_array_equal(large[name], image)


def test_labels_can_be_learned(tmp_path):
    folder = write_small(tmp_path / "learn", train_per_class=25, test_per_class=10)
    train, test = unpickle(folder / "train"), unpickle(folder / "test")
    scaler = StandardScaler().fit(train[b"data"])
    X, X_test = scaler.transform(train[b"data"]), scaler.transform(test[b"data"])
    K, K_test = rbf_kernel(X), rbf_kernel(X_test, X)

    def accuracy(y, y_test):
        return SVC(kernel="precomputed").fit(K, y).score(K_test, y_test)

    coarse = accuracy(train[b"coarse_labels"], test[b"coarse_labels"])
    fine = accuracy(train[b"fine_labels"], test[b"fine_labels"])
    permuted = np.random.default_rng(0).permutation(train[b"coarse_labels"])
    chance = accuracy(permuted, test[b"coarse_labels"])
    assert 0.3 < coarse < 0.6  # room for a better model
    assert 0.08 < fine < coarse - 0.1
    assert chance < 0.1


def test_the_same_good_copy_is_kept(tmp_path):
    folder = write_small(tmp_path / "data")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    inode = folder.stat().st_ino
    assert write_small(folder) == folder
    assert write_small(folder, overwrite=True) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert folder.stat().st_ino == inode


def test_an_empty_folder_is_filled(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    write_small(folder)
    assert set(contents(folder)) == FILE_NAMES


def refused(folder, **options):
    """Expect a refusal that leaves everything as it was; return its message."""
    before = contents(folder)
    with pytest.raises(OutputError) as caught:
        write_small(folder, **options)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_another_synthetic_set_is_replaced_only_if_asked(small, tmp_path):
    folder = write_small(tmp_path / "data", seed=7)
    assert "--overwrite" in refused(folder)
    write_small(folder, overwrite=True)
    assert contents(folder) == contents(small)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("name", ["train", "test", "meta", "SYNTHETIC.md5", "README.txt"])
def test_a_damaged_copy_is_no_good_copy(small, tmp_path, name):
    folder = write_small(tmp_path / "data")
    damaged = bytearray((folder / name).read_bytes())
    damaged[-20] ^= 1
    (folder / name).write_bytes(damaged)
    assert "--overwrite" in refused(folder)
    write_small(folder, overwrite=True)
    assert contents(folder) == contents(small)


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_data_are_never_replaced(tmp_path, overwrite):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train").write_bytes(b"the real one")
    assert "train" in refused(folder, overwrite=overwrite)


def test_a_synthetic_set_with_other_files_is_never_replaced(tmp_path):
    folder = write_small(tmp_path / "data", seed=7)
    (folder / "notes.txt").write_text("mine")
    assert "notes.txt" in refused(folder, overwrite=True)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(OutputError, match="a file"):
        write_small(tmp_path / "data", overwrite=True)
    assert (tmp_path / "data").read_text() == "mine"


@pytest.mark.parametrize("existing", [False, True])
def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch, existing):
    folder = tmp_path / "data"
    before = contents(write_small(folder, seed=7)) if existing else None
    write_pickle = synthetic._write_pickle

    def fill_the_disk(path, columns):
        if path.name == "test":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write_pickle(path, columns)

    monkeypatch.setattr(synthetic, "_write_pickle", fill_the_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        write_small(folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == (["data"] if existing else [])
    assert not existing or contents(folder) == before


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "draw_images", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_small(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_the_old_set_comes_back_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    folder = write_small(tmp_path / "data", seed=7)
    rename = Path.rename

    def fail_for_the_new(self, target):
        if self.parent.name.startswith(".") and not Path(target).exists():
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    assert "busy" in refused(folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_two_processes_write_the_same_set(tmp_path, monkeypatch):
    place, meeting = synthetic.put_in_place, threading.Barrier(2)

    def place_at_once(*args):
        meeting.wait(60)
        return place(*args)

    monkeypatch.setattr(synthetic, "put_in_place", place_at_once)
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(write_small, tmp_path / "data") for _ in range(2)]
    assert [task.result() for task in tasks] == [tmp_path / "data"] * 2
    assert md5s(tmp_path / "data") == PINNED_MD5S
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_per_class": 0}, r"'train_per_class'.* \[1, 6990\]. Got 0 "),
        ({"test_per_class": 6991}, r"'test_per_class'.* \[1, 6990\]. Got 6991 "),
        ({"test_per_class": 2.5}, r"'test_per_class'.* int .* Got 2.5 "),
        ({"seed": -1}, r"'seed'.* \[0, inf\). Got -1 "),
    ],
)
def test_parameters_out_of_range_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_small(tmp_path / "data", **options)
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_to_standard_error(tmp_path, capsys):
    write_small(tmp_path / "quiet", 1, 1)
    assert capsys.readouterr() == ("", "")
    write_synthetic(tmp_path / "loud", train_per_class=1, test_per_class=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "200/200" in err
