"""The report's page: that it is well built, and stays so whatever it is given."""

import math
import re
from dataclasses import replace
from itertools import pairwise
from urllib.parse import unquote

import numpy as np
import pytest
from comparisons import LONG_NAMES, SYNTHETIC_NAMES, changed, make_comparison
from pagetree import PICTURES, Element, Tree, read, section, table_of

from svmcifar.compare.report.page import render_page, write_page
from svmcifar.errors import OutputError

NASTY = "<script>alert(\"x\")</script> & 'q' </style></title>"
VARIANTS = {
    "plain": {},
    "no superclasses": {"svm_labels": "fine", "kinds": ("fine",)},
    "many": {"n_cnns": 5, "ensemble": True, "svm_labels": "fine"},
    "synthetic": {"names": SYNTHETIC_NAMES, "synthetic": True},
    "many of each": {"n_cnns": 2, "n_svms": 4, "svm_labels": "fine"},
    "SVMs alone": {"n_cnns": 0, "n_svms": 2},
}


@pytest.fixture(scope="module")
def comparison():
    return make_comparison()


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    return read(make_comparison(**VARIANTS[request.param]))


def test_headings_go_down_one_level_at_a_time(variant):
    levels = [int(e.tag[1]) for e in variant.walk() if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))
    assert levels.count(2) == len(variant.all("section"))


def test_ids_are_unique_and_what_refers_to_them_finds_them(variant):
    ids = [e["id"] for e in variant.walk() if e["id"]]
    assert len(ids) == len(set(ids))
    for element in variant.walk():
        for name in (element["aria-labelledby"] or "").split():
            assert name in ids
        if (element["href"] or "").startswith("#"):
            assert element["href"][1:] in ids
    linked = [a["href"] for a in variant.all("nav")[0].all("a")]
    assert linked == [f"#{s['id']}" for s in variant.all("section")]


def test_tables_have_captions_and_headers_with_scope(variant):
    tables = variant.all("table")
    assert len(tables) >= 8
    for table in tables:
        (caption,) = table.all("caption")
        assert caption.text
        assert all(th["scope"] in ("row", "col") for th in table.all("th"))
        for row in table.all("tbody")[0].all("tr"):
            assert next(c["scope"] for c in row.children if isinstance(c, Element)) == "row"
        assert len({len(row.all("th") + row.all("td")) for row in table.all("tr")}) == 1
        box = table.parent
        assert "scroll" in box.classes
        assert (box["tabindex"], box["role"], box["aria-labelledby"]) == (
            "0", "region", caption["id"],
        )  # fmt: skip


def test_pictures_and_charts_have_alternatives(variant):
    images = variant.all("img")
    assert len(images) >= 9
    assert all(image["alt"].startswith("True class: ") for image in images)
    assert all(image["width"] and image["height"] for image in images)
    for svg in variant.all("svg"):
        inner = svg.parent.tag == "svg"
        named = svg["role"] == "img" and svg["aria-labelledby"] and svg.all("desc")[0].text
        assert inner or svg["aria-hidden"] == "true" or named


def test_page_loads_nothing_and_runs_nothing(variant):
    assert not variant.all("script")
    policy = variant.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none'")
    for element in variant.walk():
        assert not any(name.startswith("on") for name in element.attributes)
        assert element.tag not in ("iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "data", "poster", "xlink:href"):
            target = element[name] or ""
            assert not re.match(r"(?!data:)[a-z]+:|//", target), target
            assert not target.startswith("data:") or element.tag in ("img", "link")
    style = variant.all("style")[0].text
    assert "url(" not in style
    assert "@import" not in style


def test_page_is_a_whole_document(variant):
    (page,) = variant.all("html")
    assert page["lang"] == "en"
    assert variant.all("meta", name="viewport")
    assert variant.all("a", href="#main")[0]["class"] == "skip"
    assert len(variant.all("main")) == len(variant.all("h1")) == 1


def test_no_missing_value_shows_as_code(variant):
    texts = [e.text for e in variant.all("body")]
    assert not re.search(r"\b(None|nan|NaN|null|undefined|inf)\b|\{\{|\{%", " ".join(texts))


def test_same_comparison_gives_the_same_bytes(comparison, tmp_path):
    first = write_page(comparison, PICTURES, tmp_path / "a")
    second = write_page(make_comparison(), PICTURES.copy(), tmp_path / "b")
    assert first == tmp_path / "a" / "report.html"
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == ["report.html"]
    assert first.stat().st_size < 3_000_000


def test_folder_that_cannot_be_written_is_said_in_one_line(comparison, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"report\.html: an output must be writable"):
        write_page(comparison, PICTURES, tmp_path / "file")


def test_synthetic_data_cannot_be_overlooked():
    root = read(make_comparison(**VARIANTS["synthetic"]))
    (banner,) = root.with_class("banner")
    assert "SYNTHETIC" in banner.text
    assert "not CIFAR-100" in banner.text
    for place in (
        root.all("title")[0],
        root.all("h1")[0],
        root.all("nav")[0],
        root.all("footer")[0],
    ):
        assert "SYNTHETIC" in place.text


def test_synthetic_data_is_put_into_a_title_that_does_not_say_so(comparison):
    data = replace(comparison.data, synthetic=True, label="drawn shapes")
    root = read(replace(comparison, data=data, title="My title"))
    assert root.all("title")[0].text == "SYNTHETIC data: My title"
    assert root.all("h1")[0].text == "SYNTHETIC data: My title"


def test_real_data_are_not_called_synthetic(comparison):
    root = read(comparison)
    assert not root.with_class("banner")
    assert "SYNTHETIC" not in root.all("body")[0].text
    assert "test split of CIFAR-100" in root.with_class("meta")[0].text
    assert root.all("time")[0].text == "20 November 2026"


def test_whatever_comes_from_files_is_escaped(comparison):
    names = LONG_NAMES | {
        "coarse": [f"{NASTY}{i}" for i in range(20)],
        "fine": [f"{NASTY}{i}" for i in range(100)],
    }
    nasty = make_comparison(names=names)
    words = dict.fromkeys(("description", "note", "file"), NASTY)
    words |= dict.fromkeys(("training_hardware", "inference_hardware", "images"), NASTY)
    words["made"] = {NASTY: NASTY, "list": [{NASTY: [NASTY]}]}
    nasty = changed(nasty, *(words | {"name": f"{NASTY} {m.id}"} for m in nasty.models))
    nasty = replace(
        nasty,
        title=NASTY,
        command=NASTY,
        created=NASTY,
        conclusion=[NASTY] * 2,
        limitations=[NASTY],
        data=replace(nasty.data, label=NASTY, md5s={NASTY: NASTY}),
        versions={"svmcifar": NASTY, NASTY: NASTY},
        host={NASTY: NASTY},
        files={"scores": f"{NASTY}.csv", "figures": ["javascript:alert(1)"]},
    )
    page = render_page(nasty, PICTURES)
    assert "<script" not in page.lower()
    root = Tree(page).root
    assert [e.tag for e in root.walk()] == [e.tag for e in read_as_nasty(comparison).walk()]
    assert root.all("title")[0].text == NASTY
    links = [a["href"] for a in section(root, "made").all("a")]
    assert [unquote(link) for link in links] == [
        "report.json",
        f"{NASTY}.csv",
        "javascript:alert(1)",
    ]
    assert links[-1] == "javascript%3Aalert%281%29"


def read_as_nasty(comparison):
    """The same page with harmless words: its elements are what they should be."""
    tame = make_comparison(names=LONG_NAMES)
    words = {"note": "note", "file": "file", "made": {"key": "value", "list": [{"key": ["value"]}]}}
    tame = changed(tame, *[words] * len(tame.models))
    tame = replace(
        tame,
        conclusion=["one", "two"],
        limitations=["one"],
        data=replace(tame.data, md5s={"train": "x"}),
        versions={"svmcifar": "x", "other": "x"},
        host={"x": "x"},
        files={"scores": "scores.csv", "figures": ["x"]},
    )
    return read(tame)


def test_what_is_not_known_is_a_dash():
    poor = make_comparison(svm_labels="fine")
    for of_kind in poor.scores.values():
        for model_id, score in of_kind.items():
            table, confusion = score.per_class.copy(), score.confusion.copy()
            table.loc[3, ["recall", "recall_low", "recall_high", "precision", "f1"]] = np.nan
            table.loc[3, ["support", "correct"]] = 0
            confusion[3] = 0
            of_kind[model_id] = replace(
                score, cohen_kappa=math.nan, log_loss=None, top5_accuracy=None,
                per_class=table, confusion=confusion,
            )  # fmt: skip
    poor = changed(
        poor,
        {"training_s": None, "training_hardware": None, "curve": None, "made": {}, "sha256": None},
    )
    root = read(replace(poor, git_commit=None, limitations=[], conclusion=[], files={}))
    rows = table_of(section(root, "cost"), "What each model costs")
    assert rows["Training, on the clock"][0].text == "–"
    assert "Cohen’s kappa" not in table_of(section(root, "accuracy"), "Scores on the 20 sup")
    bars = section(root, "classes").with_class("bars")[0].all("li")
    assert bars[-1].text.startswith("food containers –")
    assert len(section(root, "time").all("polyline")) == 0
    assert not re.search(r"\b(None|nan)\b", root.all("body")[0].text)


def test_without_any_training_time_there_is_no_chart(comparison):
    less = changed(comparison, *[{"training_s": None, "curve": None}] * 2)
    time = section(read(less), "time")
    assert not time.all("figure")
    assert "training time is known" in time.text


def test_without_superclasses_the_page_is_about_classes():
    root = read(make_comparison(svm_labels="fine", kinds=("fine",)))
    assert not re.search("superclass|fine class", section(root, "accuracy").all("h3")[0].text)
    assert len(section(root, "time").all("figure")) == 1
    assert section(root, "classes").all("h3")[0].text == "Which classes gain most"
    assert len(section(root, "classes").with_class("bars")[0].all("li")) == 100
    assert re.match(r"True class: fine class \d+\. CNN", section(root, "nine").all("img")[0]["alt"])
    for word in ("superclass, sorted", "true superclass", "fine classes"):
        assert word not in root.all("body")[0].text


def test_empty_gallery_says_so(comparison):
    found = replace(comparison.disagreements, only_b=[])
    disagree = section(read(replace(comparison, disagreements=found)), "disagree")
    assert "There is no such image." in disagree.text
    assert len(disagree.with_class("gallery")) == 4
