"""The report's page: that it says what was found."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from comparisons import MACHINE, changed, make_comparison
from pagetree import PICTURES, read, section, table_of
from PIL import Image

from svmcifar.compare.machines import Machine
from svmcifar.compare.report.chart_layout import accuracy_axis
from svmcifar.metrics.paired_tests import PairedCounts


@pytest.fixture(scope="module")
def comparison():
    return make_comparison()


@pytest.fixture(scope="module")
def page(comparison):
    return read(comparison)


def test_conclusion_and_limits_are_on_top(comparison, page):
    short = section(page, "short").text
    for sentence in comparison.conclusion + comparison.limitations:
        assert sentence in short


def test_overview_has_each_accuracy_with_its_interval(comparison, page):
    rows = section(page, "short").with_class("intervals")
    shown = [li.text for group in rows for li in group.all("li")]
    expected = []
    for kind in ("coarse", "fine"):
        for model in comparison.models:
            if score := comparison.scores[kind].get(model.id):
                low, high = score.accuracy_interval
                expected.append(
                    f"{model.name} {100 * score.accuracy:.1f} % "
                    f"{100 * low:.1f} to {100 * high:.1f} %"
                )
    assert shown == expected
    strip = rows[0].all("li")[0].with_class("whisker")[0]
    score = comparison.scores["coarse"]["cnn"]
    bounds = [b for k in ("coarse", "fine") for s in comparison.scores[k].values()
              for b in s.accuracy_interval]  # fmt: skip
    axis = accuracy_axis(bounds)
    for name, bound in zip(("x1", "x2"), score.accuracy_interval, strict=True):
        place = 100 * (bound - axis.low) / (axis.high - axis.low)
        assert float(strip[name].rstrip("%")) == pytest.approx(place, abs=0.01)


def test_score_tables_hold_the_scores():
    comparison = make_comparison(n_cnns=2, svm_labels="fine")
    for kind, caption in (("coarse", "Scores on the 20 sup"), ("fine", "Scores on the 100 fine")):
        rows = table_of(section(read(comparison), "accuracy"), caption)
        scores = [comparison.scores[kind][m.id] for m in comparison.models]
        for name, key in (
            ("Accuracy", "accuracy"),
            ("Macro precision", "macro_precision"),
            ("Macro recall", "macro_recall"),
            ("Macro F1", "macro_f1"),
        ):
            assert [td.text for td in rows[name]] == [
                f"{100 * getattr(s, key):.2f} %" for s in scores
            ]
            assert [bool(td.all("b")) for td in rows[name]] == [True, False, False]
        assert [td.text for td in rows["Cohen’s kappa"]] == [f"{s.cohen_kappa:.3f}" for s in scores]
        losses = [s.log_loss for s in scores]
        assert [td.text for td in rows["Log loss, calibrated (nats)"]] == [
            "–" if loss is None else f"{loss:.3f}" for loss in losses
        ]
        best = min(loss for loss in losses if loss is not None)
        bold = [bool(td.all("b")) for td in rows["Log loss, calibrated (nats)"]]
        assert bold == [loss == best for loss in losses]
        for name, value in (("Calibration error", "3.21 %"), ("More confident half", "77.70 %")):
            assert rows[name][0].text == value
            assert [td.text for td in rows[name]].count("–") == sum(
                s.calibration_error is None for s in scores
            )
        low, high = scores[0].accuracy_interval
        assert rows["95 % interval"][0].text == f"{100 * low:.2f} to {100 * high:.2f} %"
        assert ("Top-5 accuracy" in rows) == (kind == "fine")
        worst = scores[0].worst_class
        assert rows["Worst class"][0].text.startswith(worst.name.replace("_", " "))
        assert f"({100 * worst.recall:.1f} %" in rows["Worst class"][0].text


def test_nothing_is_best_where_there_is_one_model(page):
    rows = table_of(section(page, "accuracy"), "Scores on the 100 fine")
    assert len(rows) > 8
    assert not any(td.all("b") for cells in rows.values() for td in cells)


def test_cost_table_holds_the_costs(comparison, page):
    rows = table_of(section(page, "cost"), "What each model costs")
    for name, values in (
        ("Training, CPU time", ["1 h 25 min", "3 min 10 s"]),
        ("Training, on the clock", ["56 min 40 s", "1 min 49 s"]),
    ):
        assert [td.text for td in rows[name]] == values
        assert [bool(td.all("b")) for td in rows[name]] == [False, True]
    assert [td.text for td in rows["Training processor"]] == ["AMD EPYC 7763 64-Core Processor"] * 2
    assert [td.text for td in rows["Its cores"]] == ["16", "16"]
    assert [td.text for td in rows["Inference, CPU time"]] == ["0.400 s", "1.70 s"]
    assert [td.text for td in rows["Load average before"]] == ["1.2", "1.2"]
    assert [td.text for td in rows["Model size"]] == ["1.23 MB", "288 MB"]
    assert [td.text for td in rows["Learned parameters"]] == ["305,124", "–"]
    assert [td.text for td in rows["Support vectors"]] == ["–", "46,123"]
    assert [td.text for td in rows["Inference, images a second"]] == ["2,346", "512"]
    assert "AMD EPYC 7763" in rows["Trained on"][0].text
    assert not any("per MB" in name for name in rows)


def test_terms_table_holds_the_terms(page):
    rows = table_of(section(page, "cost"), "Training of each model")
    assert {name: [td.text for td in cells] for name, cells in rows.items()} == {
        "Training images": ["45,000", "50,000"],
        "Held out of them": ["5,000", "0"],
        "Augmentation": ["shifts and mirror images", "none"],
        "Seed": ["0", "0"],
        "Stored weights": ["16 bits a weight", "float32 support vectors, float64 coefficients"],
        "Settings searched": ["unknown", "48"],
    }


def test_superclasses_by_either_rule(comparison, page):
    rows = table_of(section(page, "accuracy"), "Superclass accuracy by either rule")
    for by, name in zip(
        comparison.superclasses,
        ("Answered class mapped up", "Probabilities summed"),
        strict=True,
    ):
        accuracies = [by.scores[model.id].accuracy for model in comparison.models]
        assert [td.text for td in rows[name]] == [f"{100 * a:.2f} %" for a in accuracies]
    without = read(make_comparison(svm_labels="fine", kinds=("fine",)))
    assert "by one rule for all" not in section(without, "accuracy").text


def test_stars_are_what_holms_correction_leaves(comparison):
    (pair,) = comparison.paired["coarse"]
    by_class = tuple(
        replace(test, mcnemar_p=0.001, holm_p=0.049 if test.class_id in (3, 11) else 0.05)
        for test in pair.by_class
    )
    paired = {**comparison.paired, "coarse": [replace(pair, by_class=by_class)]}
    items = section(read(replace(comparison, paired=paired)), "classes").with_class("bars")
    starred = [li for li in items[0].all("li") if "*" in li.with_class("difference")[0].text]
    names = [comparison.class_names["coarse"][i].replace("_", " ") for i in (3, 11)]
    assert sorted(li.with_class("name")[0].text for li in starred) == sorted(names)


def test_paired_tests_in_words_and_numbers(comparison, page):
    (pair,) = comparison.paired["coarse"]
    accuracy = section(page, "accuracy")
    (row,) = table_of(accuracy, "Paired tests on the 20 sup").values()
    value, low, high = 100 * pair.counts.difference, 100 * pair.low, 100 * pair.high
    assert row[0].text == f"{value:+.2f}"
    assert row[1].text == f"{low:+.2f} to {high:+.2f}"
    (words,) = accuracy.with_class("pair")
    assert f"right on {pair.counts.only_a} images that SVM (coarse) gets wrong" in words.text
    verdict = f"CNN reference-w16 is better by {value:.2f} percentage points (95 % interval "
    assert f"holds for {pair.counts.only_b}: {verdict}{low:.2f} to {high:.2f}; " in words.text
    widths = [float(r["width"].rstrip("%")) for r in words.with_class("stack")[0].all("rect")]
    counts = pair.counts
    parts = [counts.both_right, counts.only_a, counts.only_b, counts.both_wrong]
    assert widths == pytest.approx([100 * n / 500 for n in parts], abs=0.01)
    colours = [r.classes[0] for r in words.with_class("stack")[0].all("rect")]
    assert colours == [svg.classes[1] for svg in words.with_class("mark")]
    assert colours == ["both", "cnn1", "svm", "none"]


def changed_pair(comparison, only_a, only_b, **changes):
    (pair,) = comparison.paired["coarse"]
    counts = PairedCounts(200, only_a, only_b, 500 - 200 - only_a - only_b, same_answer=200)
    paired = {"coarse": [replace(pair, counts=counts, **changes)], "fine": []}
    root = read(replace(comparison, paired=paired))
    return section(root, "accuracy").with_class("pair")[0].text  # of the superclasses


def test_paired_words_name_the_svm_where_it_is_better(comparison):
    text = changed_pair(comparison, 10, 35, low=-0.07, high=-0.03, mcnemar_p=0.0003)
    assert "SVM (coarse) is better by 5.00 percentage points (95 % interval 3.00 to 7.00; " in text
    assert "SVM (coarse) is right on 35 images that CNN reference-w16 gets wrong" in text
    assert "holds for 10: " in text


@pytest.mark.parametrize(("low", "p"), [(-0.001, 0.01), (0.001, 0.06)])
def test_paired_words_do_not_claim_what_interval_or_test_leave_open(comparison, low, p):
    text = changed_pair(comparison, 15, 10, low=low, high=0.02, mcnemar_p=p)
    assert "no difference that this test set can show (+1.00 percentage points" in text
    assert "better" not in text
    reverse = changed_pair(comparison, 10, 15, low=-0.02, high=-low, mcnemar_p=p)
    assert f"(+1.00 percentage points, 95 % interval {100 * low:+.2f} to +2.00; " in reverse


def test_an_interval_that_ends_at_zero_has_no_negative_zero(comparison):
    text = changed_pair(comparison, 10, 15, low=-0.02, high=0.0, mcnemar_p=0.4)
    assert "95 % interval +0.00 to +2.00" in text


def test_bars_are_sorted_by_difference_and_as_long_as_the_recalls(comparison, page):
    tables = (comparison.scores["coarse"][m].per_class for m in ("cnn", "svm"))
    gaps = {
        a.name.replace("_", " "): (a.recall - b.recall, a.recall, b.recall)
        for a, b in zip(*(table.itertuples(index=False) for table in tables), strict=True)
    }
    items = section(page, "classes").with_class("bars")[0].all("li")
    names = [li.with_class("name")[0].text for li in items]
    assert sorted(names) == sorted(gaps)
    assert [gaps[name][0] for name in names] == sorted((g[0] for g in gaps.values()), reverse=True)
    for name, li in zip(names, items, strict=True):
        gap, *recalls = gaps[name]
        widths = [float(r["width"].rstrip("%")) for r in li.with_class("fill")]
        assert widths == pytest.approx([100 * recall for recall in recalls], abs=0.01)
        shown = li.with_class("difference")[0].text.replace("−", "-").replace("*", "")
        assert float(shown.split()[0]) == pytest.approx(100 * gap, abs=0.051)


def test_confusion_matrices_are_in_percent_of_the_row(comparison, page):
    root = page
    tables = root.with_class("matrix")
    assert len(tables) == 2
    for table, model in zip(tables, comparison.models, strict=True):
        confusion = comparison.scores["coarse"][model.id].confusion
        share = 100 * confusion / confusion.sum(axis=1, keepdims=True)
        rows = table.all("tbody")[0].all("tr")
        names = [name.replace("_", " ") for name in comparison.class_names["coarse"]]
        assert [row.all("th")[0].text for row in rows] == names
        assert [th.text for th in table.all("thead")[0].all("th")][1:] == names
        for i, row in enumerate(rows):
            for j, cell in enumerate(row.all("td")):
                assert cell.text == (f"{share[i, j]:.0f}" if share[i, j] >= 0.5 else "")
                assert ("own" in cell.classes) == (i == j)
                if confusion[i, j]:
                    assert cell["title"].endswith(
                        f": {confusion[i, j]:,} of {confusion[i].sum():,}"
                    )


def test_most_frequent_mistakes_are_named(comparison, page):
    confusion = comparison.scores["coarse"]["cnn"].confusion
    share = confusion / confusion.sum(axis=1, keepdims=True)
    np.fill_diagonal(share, 0)
    i, j = np.unravel_index(share.argmax(), share.shape)
    names = [name.replace("_", " ") for name in comparison.class_names["coarse"]]
    note = page.with_class("matrix-box")[0].with_class("note")[0].text
    expected = f"{names[i]} as {names[j]} ({100 * share[i, j]:.1f} %)"
    assert note.startswith(f"Most frequent mistakes: {expected}")


def decoded(image):
    kind, _, data = image["src"].partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_galleries_show_the_right_pictures_with_the_answers():
    comparison = make_comparison(n_cnns=2, ensemble=True, svm_labels="fine")
    found = comparison.disagreements
    groups = [found.only_a, found.only_b, found.both_wrong]
    images_by_index = {image.index: image for image in found.images}
    disagree = section(read(comparison), "disagree")
    images = disagree.all("img")
    indices = [i for group in groups for i in group]
    assert len(images) == len(indices) > 60
    for image, index in zip(images, indices, strict=True):
        np.testing.assert_array_equal(decoded(image), PICTURES[index])
        entry = images_by_index[index]
        alt = image["alt"]
        truth = f"True class: {entry.true['coarse']} ({entry.true['fine']}).".replace("_", " ")
        assert alt.startswith(truth)
        for model_id, name in (("ensemble", "2 CNNs (sum)"), ("svm", "SVM (fine)")):
            predicted = entry.predicted[model_id]["coarse"]
            verdict = "right" if predicted.right else "wrong"
            assert f"{name}: {predicted.name.replace('_', ' ')}, {verdict}" in alt
    shown = [len(gallery.all("li")) for gallery in disagree.with_class("gallery")]
    assert shown == [n for group in groups for n in (9, len(group) - 9)]
    counts = next(p.counts for p in comparison.paired["coarse"] if p.a == "ensemble")
    titles = [h3.text for h3 in disagree.all("h3")]
    assert titles == [
        f"Only 2 CNNs (sum) is right {counts.only_a} images",
        f"Only SVM (fine) is right {counts.only_b} images",
        f"Both are wrong {counts.both_wrong} images",
    ]


def test_svms_alone_are_held_against_each_other():
    comparison = make_comparison(n_cnns=0, n_svms=3, svm_labels="fine")
    root = read(comparison)
    assert root.all("h1")[0].text == "SVMs compared on CIFAR-100"
    accuracy, disagree = section(root, "accuracy"), section(root, "disagree")
    rows = table_of(accuracy, "Paired tests on the 20 sup")
    assert list(rows) == [
        "SVM (fine) against SVM svm2", "SVM (fine) against SVM svm3", "SVM svm2 against SVM svm3",
    ]  # fmt: skip
    words = [p.text.split(".")[0] for p in accuracy.with_class("pair")]
    assert words == ["SVM (fine) against SVM svm2", "SVM (fine) against SVM svm3"] * 2
    counts = comparison.paired["coarse"][0].counts
    assert [h3.text for h3 in disagree.all("h3")] == [
        f"Only SVM (fine) is right {counts.only_a} images",
        f"Only SVM svm2 is right {counts.only_b} images",
        f"Both are wrong {counts.both_wrong} images",
    ]
    time = section(root, "time")
    assert "Dotted lines are the SVMs’ levels." in time.text
    assert len(time.with_class("guide")) == 2 * 3
    slots = [svg.classes[1] for svg in section(root, "short").with_class("mark")]
    assert slots == ["svm", "svm2", "svm3"] * 2


def test_captions_name_who_is_wrong(comparison, page):
    first = section(page, "disagree").with_class("gallery")[0].all("li")
    for item in first:
        (answer,) = item.with_class("answer")
        assert "svm" in answer.all("svg")[0].classes
        assert answer.with_class("wrong")


def test_nine_images_have_every_answer(comparison, page):
    items = section(page, "nine").with_class("nine")[0].all("li")
    assert len(items) == 9
    for i, (item, entry) in enumerate(zip(items, comparison.grid, strict=True)):
        np.testing.assert_array_equal(decoded(item.all("img")[0]), PICTURES[i])
        predicted = [entry.predicted[model.id] for model in comparison.models]
        lines = [a.text for a in item.with_class("answer")]
        fine = predicted[0]["fine"].name.replace("_", " ")
        coarse = predicted[0]["coarse"].name.replace("_", " ")
        assert lines[0].endswith(f"{coarse} ({fine})")
        assert [line[0] for line in lines] == ["✓" if p["coarse"].right else "✗" for p in predicted]


def test_time_section_says_what_the_curve_is_of(comparison, page):
    time = section(page, "time")
    assert "The line of CNN reference-w16 is accuracy on validation images" in time.text
    assert "no forecast" not in time.text
    of = "augmented training images, while learning"
    time = section(read(changed(comparison, {"images": of})), "time")
    assert f"accuracy on {of}" in time.text
    assert "no forecast of test accuracy" in time.text
    assert "test images after 56 min 40 s" in time.all("desc")[0].text


def test_one_curve_of_training_images_among_others_is_said():
    comparison = make_comparison(n_cnns=2)
    of = "augmented training images, while learning"
    time = section(read(changed(comparison, {}, {"images": of})), "time").text
    assert "The line of CNN reference-w16 is accuracy on validation images after" in time
    assert f"That of CNN reference-w32 is accuracy on {of} after" in time
    assert "no forecast of test accuracy" in time


def test_other_hardware_is_said(comparison, page):
    assert "same hardware" not in page.all("body")[0].text
    gpu = {"training_hardware": "NVIDIA H200", "training_machine": Machine("NVIDIA H200")}
    root = read(changed(comparison, gpu))
    assert "Not all models were trained on the same hardware" in section(root, "cost").text
    assert "NVIDIA H200" in section(root, "time").text
    rows = table_of(section(root, "cost"), "What each model costs")
    assert not any(td.all("b") for td in rows["Training, on the clock"])
    unknown = changed(comparison, {"training_machine": Machine(MACHINE.processor)})
    assert "Not every record tells the processor" in section(read(unknown), "cost").text


def test_provenance_and_files_are_there(comparison, page):
    made = section(page, "made")
    for fact in (
        comparison.command, comparison.git_commit, "1601" * 8, "3.12.8", "SkylakeX",
        "training.parameters.C", "recipe.seed", comparison.models[1].content_hash,
        "Trained by this command", "patches.skops",
    ):  # fmt: skip
        assert fact in made.text
    links = [a["href"] for a in made.all("a")]
    assert links == [
        "report.json", "predictions.csv", "scores.csv", "costs.csv", "classes-coarse.csv",
        "classes-fine.csv", "paired.csv", "paired-classes.csv",
        "figures/accuracy.png", "figures/recall.png",
    ]  # fmt: skip
