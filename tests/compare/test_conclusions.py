"""Sentences that follow from the numbers.

The networks and the SVM here are right where they are told to be.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from contestants import entry_of, predictions_of

from svmcifar.compare.assemble import compare_predictions
from svmcifar.compare.comparison import LearningCurve, PairedTest
from svmcifar.compare.conclusions import conclude, describe_difference
from svmcifar.compare.limitations import find_limitations
from svmcifar.compare.machines import Machine
from svmcifar.compare.mixtures import Mixture
from svmcifar.compare.training_terms import TrainingTerms
from svmcifar.metrics.paired_tests import PairedCounts

WORDS = {"svm": "Svm", "cnn": "Net", "ensemble": "Both"}


@pytest.fixture(scope="module")
def split(synthetic_data):
    return synthetic_data.read_split("test")


@pytest.fixture(scope="module")
def superclass_of(synthetic_data):
    return synthetic_data.superclass_of


@pytest.fixture
def concluded(synthetic_data, split, superclass_of):
    """Compare models that are right on given images; wrong answers are of other superclasses."""

    def compare(right_by_id, svm_labels="fine", **changes):
        predictions, entries = {}, []
        for model_id, right in right_by_id.items():
            right = np.asarray(right)
            fine = np.where(
                right,
                split.labels["fine"],
                _of_another_superclass(split.labels["fine"], superclass_of),
            )
            is_svm = model_id.startswith("svm")
            kind = "decisions" if is_svm else "probabilities"
            predictions[model_id] = predictions_of(fine, superclass_of, kind=kind)
            name = re.sub("[a-z]+", lambda word: WORDS[word[0]], model_id)
            entry = entry_of(model_id, name, **changes.get(model_id, {}))
            if is_svm and svm_labels == "coarse":
                ids = {"coarse": predictions[model_id].ids["coarse"]}
                predictions[model_id] = replace(predictions[model_id], ids=ids, scores={})
                entry = replace(entry, labels="coarse")
            entries.append(entry)
        return compare_predictions(entries, predictions, synthetic_data, split)

    return compare


def _of_another_superclass(fine, superclass_of):
    other = {c: int(np.flatnonzero(superclass_of != superclass_of[c])[0]) for c in range(100)}
    return np.array([other[c] for c in fine])


def first(n):
    return np.arange(200) < n


def test_conclusion_follows_the_winner(concluded):
    ahead = concluded({"cnn": first(150), "svm": first(100)}).conclusion
    behind = concluded({"cnn": first(100), "svm": first(150)}).conclusion
    for labels in ("20 superclasses", "100 fine classes"):
        facts = (
            f"On the {labels} Net is right for 75.00 % of the 200 test images and Svm for 50.00 %"
        )
        (sentence,) = [s for s in ahead if s.startswith(f"On the {labels}")]
        assert sentence.startswith(f"{facts}: Net is better by 25.00 percentage points (95 %")
        assert sentence.endswith("McNemar's test p < 0.0001).")
        (sentence,) = [s for s in behind if s.startswith(f"On the {labels}")]
        assert "Net is right for 50.00 %" in sentence
        assert ": Svm is better by 25.00 percentage points (95 % interval " in sentence
        low, high = sentence.split("interval ")[1].split(";")[0].split(" to ")
        assert 15 < float(low) < 25 < float(high) < 35
    assert "Net alone for 25.0 %, Svm alone for 0.0 %, and neither for 25.0 %." in ahead[1]
    assert "Net alone for 0.0 %, Svm alone for 25.0 %, and neither for 25.0 %." in behind[1]


def test_conclusion_claims_nothing_that_is_not_shown(concluded):
    right = first(100)
    other = right.copy()
    other[[0, 1, 2, 3, 100, 101, 102]] ^= True  # 4 lost, 3 won
    content = concluded({"cnn": other, "svm": right})
    pair = content.paired["coarse"][0]
    assert pair.low < 0 < pair.high
    for sentence in (content.conclusion[0], content.conclusion[3]):
        assert ": no difference that this test set can show (-0.50 percentage points" in sentence
        assert "McNemar's test p = 1)" in sentence
    assert not any("better" in sentence for sentence in content.conclusion)
    same = concluded({"cnn": right, "svm": right}).conclusion
    assert "no difference that this test set can show (+0.00" in same[0]


def test_many_networks_share_one_sentence(concluded):
    right = {"cnn": first(40)} | {f"cnn{k}": first(20 + 20 * k) for k in range(2, 9)}
    right["svm"] = first(100)
    content = concluded(right, cnn2={"made": {}}, cnn5={"made": {}}, cnn7={"made": {}})
    for kind, sentence in (
        ("20 superclasses", content.conclusion[0]),
        ("100 fine classes", next(s for s in content.conclusion if "100 fine" in s)),
    ):
        assert sentence.startswith(
            f"On the {kind} 8 models are right for 20.00 % (Net) to 90.00 % (Net8) of the 200 test "
            "images and Svm for 50.00 %. Shown to be better than Svm: 4 of them; to be worse: 3; "
            "neither: 1."
        )
    assert len([s for s in content.conclusion if s.startswith("On the 100 fine classes")]) == 1
    (limit,) = [s for s in content.limitations if "may have seen the test images" in s]
    assert limit.startswith("How Net2, Net5 and Net7 were trained is not known: they may have")


def test_many_svms_share_one_sentence(concluded):
    right = {"cnn": first(100)} | {f"svm{k}": first(50 + 10 * k) for k in (2, 3, 4, 7)}
    (sentence,) = [s for s in concluded(right).conclusion if s.startswith("On the 20 ")]
    assert sentence.startswith("On the 20 superclasses 4 models are right for 35.00 % (Svm2) to")
    assert "Net for 50.00 %. Shown to be better than Net: 1 of them; to be worse: 3" in sentence


def test_many_learning_curves_share_one_sentence(concluded):
    def curve(*accuracies):
        seconds = tuple(range(10, 10 + len(accuracies)))
        return LearningCurve(
            "validation images", True, seconds, dict.fromkeys(("coarse", "fine"), accuracies)
        )

    ids = ["cnn", "cnn2", "cnn3", "cnn4"]
    curves = {model_id: {"curve": curve(0.1, 0.6)} for model_id in ids}
    curves["cnn3"] = {"curve": curve(0.1, 0.2)}
    content = concluded(dict.fromkeys(ids, first(150)) | {"svm": first(100)}, **curves)
    (sentence,) = [s for s in content.conclusion if s.startswith("In training")]
    assert sentence == (
        "In training, the superclass accuracy that Svm has on the test images (50.00 %) was "
        "reached by Net after 11 s, Net2 after 11 s and Net4 after 11 s, and never by Net3 "
        "(measured on validation images)."
    )


@pytest.mark.parametrize(
    ("low", "high", "p", "shown"),
    [
        (0.01, 0.03, 0.01, True),
        (-0.03, -0.01, 0.01, True),
        (0.01, 0.03, 0.0625, False),
        (0.0, 0.03, 0.01, False),
        (-0.03, 0.0, 0.01, False),
        (-0.01, 0.03, 0.01, False),
    ],
)
def test_a_difference_needs_interval_and_test(low, high, p, shown):
    counts = PairedCounts(0, *((20, 0) if high > 0.0 else (0, 20)), 980, same_answer=0)
    text = describe_difference(PairedTest("a", "b", counts, p, low, high), "A", "B")
    if shown:
        winner, ends = ("A", (low, high)) if low > 0 else ("B", (-high, -low))
        assert text.startswith(f"{winner} is better by 2.00 percentage points (95 % interval ")
        assert f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}; McNemar's test p = 0.01)" in text
    else:
        assert text.startswith("no difference that this test set can show (")


def test_conclusion_of_several_networks(concluded):
    content = concluded(
        {"cnn": first(100), "cnn2": first(160), "ensemble": first(180), "svm": first(120)},
        cnn={
            "curve": LearningCurve("some images", True, (90.0,), {"coarse": (0.7,), "fine": (0.5,)})
        },
        cnn2={"curve": LearningCurve("others", True, (90.0,), {"coarse": (0.5,), "fine": (0.5,)})},
    )
    text = content.conclusion
    coarse = [
        s.split(": ")[1].split(" by")[0] for s in text if "20 superclasses" in s and "right" in s
    ]
    assert coarse[:3] == ["Both is better", "Svm is better", "Net2 is better"]
    # Networks are held against the SVM; against each other the tables do it.
    assert not any("Net is right" in s and "Net2 for" in s for s in text)
    assert any(s.startswith("Both are right for 60.0 % of the images, Both alone") for s in text)
    assert (
        "In training, Net reached the superclass accuracy that Svm has on the test images after "
        "90 s (60.00 %; measured on some images)."
    ) in text
    assert (
        "In training, Net2 never reached the superclass accuracy that Svm has on the test images "
        "(60.00 %; measured on others)."
    ) in text


def test_conclusion_of_several_svms(concluded):
    right = {"cnn": first(150), "cnn2": first(140), "svm": first(100), "svm2": first(120)}
    content = concluded(right)
    pairs = [(p.a, p.b) for p in content.paired["coarse"]]
    with_svm = [("cnn", "svm"), ("cnn2", "svm"), ("cnn", "svm2"), ("cnn2", "svm2")]
    assert pairs == [*with_svm, ("svm", "svm2"), ("cnn", "cnn2")]
    for labels in ("20 superclasses", "100 fine classes"):
        said = [s for s in content.conclusion if s.startswith(f"On the {labels}")]
        # The rivals, the first of each kind; then the other pairs that one of them is in.
        for sentence, (a, b) in zip(
            said, (("Net", "Svm"), ("Net2", "Svm"), ("Net", "Svm2")), strict=True
        ):
            assert sentence.startswith(f"On the {labels} {a} is right for ")
            assert f" test images and {b} for " in sentence
    assert any(
        "Both are right for 50.0 % of the images, Net alone" in s for s in content.conclusion
    )
    assert (content.disagreements.a, content.disagreements.b) == ("cnn", "svm")


def test_conclusion_of_svms_alone(concluded):
    content = concluded({"svm": first(100), "svm2": first(120), "svm3": first(120)})
    assert content.title == "SVMs compared on SYNTHETIC stand-in"
    pairs = [(p.a, p.b) for p in content.paired["coarse"]]
    assert pairs == [("svm", "svm2"), ("svm", "svm3"), ("svm2", "svm3")]
    assert (content.disagreements.a, content.disagreements.b) == ("svm", "svm2")
    assert content.disagreements.only_b == list(range(100, 120))
    said = [s for s in content.conclusion if s.startswith("On the 20 superclasses")]
    assert len(said) == 2
    assert said[0].startswith("On the 20 superclasses Svm is right for 50.00 % of the 200 test")
    assert ": Svm2 is better by 10.00 percentage points" in said[0]
    assert ": Svm3 is better by 10.00 percentage points" in said[1]
    text = "\n".join([*content.conclusion, *content.limitations])
    assert not re.search("network|CNN|Net", text)


def test_conclusion_of_the_rivals_together(concluded):
    content = concluded({"cnn": first(100), "cnn2": first(90), "svm": first(120)})

    def say(network, better, only_a, only_b, low, high, p):
        counts = PairedCounts(100, only_a, only_b, 100 - only_a - only_b, same_answer=0)
        n, interval = counts.both_right + only_a, (0.0, 1.0)
        mixture = Mixture(network, "svm", 0.5, n, n / 200, interval, better, counts, p, low, high)
        changed = replace(content, mixtures={"coarse": [], "fine": [mixture]})
        return [s for s in conclude(changed) if "the mean" in s]

    start = "By the mean of their probabilities Net and Svm together are right for "
    assert say("cnn", "svm", 40, 10, 0.08, 0.22, 1e-5) == [
        f"{start}70.00 % on the 100 fine classes, Svm alone for 60.00 %: the mean is better by "
        "15.00 percentage points (95 % interval 8.00 to 22.00; McNemar's test p < 0.0001)."
    ]
    (sentence,) = say("cnn", "cnn", 10, 40, -0.22, -0.08, 1e-5)
    assert ": Net is better by 15.00 percentage points" in sentence
    (sentence,) = say("cnn", "cnn", 10, 12, -0.05, 0.03, 0.8)
    assert "Net alone for 50.00 %: no difference that this test set can show (-1.00" in sentence
    assert say("cnn2", "svm", 40, 10, 0.08, 0.22, 1e-5) == []  # no rival
    said = [s for s in content.conclusion if s.startswith(start)]
    assert ["20 superclasses" in said[0], "100 fine classes" in said[1]] == [True, True]


def test_training_accuracy_is_held_against_no_test_accuracy(concluded):
    curve = LearningCurve("training images", False, (90.0,), {"coarse": (0.9,), "fine": (0.9,)})
    content = concluded({"cnn": first(150), "svm": first(100)}, cnn={"curve": curve})
    assert content.time_to_accuracy == {"coarse": [], "fine": []}
    assert not any("In training" in sentence for sentence in content.conclusion)


def test_headline_says_that_training_images_differ(concluded):
    def headline(**n_images):
        terms = {i: {"terms": TrainingTerms(n_images=n)} for i, n in n_images.items()}
        return concluded({"cnn": first(150), "svm": first(100)}, **terms).conclusion[0]

    assert headline(cnn=45_000, svm=45_000).endswith("p < 0.0001).")
    said = headline(cnn=50_000, svm=5_000)
    assert said.endswith("). Net was trained on 50,000 images and Svm on 5,000.")
    assert headline(cnn=None, svm=5).endswith(" On how many images Net was trained is not known.")


def test_conclusion_of_costs(concluded):
    def say(**cost):
        content = concluded({"cnn": first(150), "svm": first(100)}, cnn={"cost": cost})
        return " ".join(content.conclusion)

    text = say()
    assert (
        "Training took Net 10.0 min (Abacus, 2 threads) and Svm 30 s (Abacus, backend numba): "
        "20 times as long for Net."
    ) in text
    assert "Net answers 1,000 images a second and Svm 250: 4 times as many for Net." in text
    assert "All test images take Net 0.3 s of CPU time and Svm 1.5 s." in text
    assert "Net takes 2.00 MB and Svm 500.00 MB: 250 times as much for Svm." in text
    assert "Each MB" not in text
    text = say(training_s=3.0, images_per_s=50.0, n_bytes=500_000_000)
    assert "Net 3 s (Abacus, 2 threads) and Svm 30 s (Abacus, backend numba): 10 times" in text
    assert "10 times as long for Svm." in text
    assert "5 times as many for Svm." in text
    assert "Svm 500.00 MB: about the same." in text
    elsewhere = say(training_machine=Machine("Abacus", 4, 2))
    assert "and Svm 30 s (Abacus, backend numba), on different machines." in elsewhere
    elsewhere = say(training_machine=Machine("Abacus"))
    assert "and Svm 30 s (Abacus, backend numba), perhaps on different machines." in elsewhere
    content = concluded(
        {"cnn": first(150), "svm": first(100)},
        cnn={"cost": {"training_cpu_s": 1100.0}}, svm={"cost": {"training_cpu_s": 55.0}},
    )  # fmt: skip
    assert (
        "Training took Net 10.0 min (18.3 min of CPU time; Abacus, 2 threads) and Svm 30 s (55 s "
        "of CPU time; Abacus, backend numba): 20 times as much CPU time for Net."
    ) in content.conclusion
    text = say(training_s=None, training_hardware=None)
    assert "How long Net was trained is not known; Svm took 30 s" in text
    assert "2.1 h (hardware not recorded)" in say(training_s=7560.0, training_hardware=None)


def test_conclusion_of_classes(concluded, split):
    net = np.isin(split.labels["coarse"], [0, 1, 2])
    svm = (split.labels["coarse"] == 2) | (split.labels["coarse"] == 3)
    content = concluded({"cnn": net, "svm": svm})
    names = [n.replace("_", " ") for n in content.class_names["coarse"]]
    assert content.conclusion[2] == (
        "Net recognises more images of 2 of the 20 superclasses and Svm of 1; the largest lead is "
        f"that of Net in {names[0]} (100.0 points) and that of Svm in {names[3]} (100.0 points). "
        "By McNemar's exact test with Holm's correction for the 20 of them Net is better in 2 and "
        "Svm in 1."
    )
    content = concluded({"cnn": net, "svm": net})
    assert content.conclusion[2].endswith(
        "of 0 of the 20 superclasses and Svm of 0. By McNemar's exact test with Holm's correction "
        "for the 20 of them none is shown to differ."
    )


def test_conclusion_of_a_coarse_svm(concluded):
    content = concluded({"cnn": first(150), "cnn2": first(90), "svm": first(100)}, "coarse")
    assert content.paired["fine"][0].b == "cnn2"
    text = content.conclusion
    assert (
        "Svm was trained on the superclasses: it has no answers on the 100 fine classes."
    ) in text
    assert not any("On the 100 fine classes Net is right" in s for s in text)
    assert set(content.scores["fine"]) == {"cnn", "cnn2"}
    alone = concluded({"cnn": first(150), "svm": first(100)}, "coarse")
    assert alone.paired["fine"] == []
    assert set(alone.scores["fine"]) == {"cnn"}
    assert not any(s.startswith("On the 100 fine classes") for s in alone.conclusion)


def test_limits(concluded, synthetic_data):
    data = {"label": "some data", "md5s": synthetic_data.md5s}
    training = {"rows": None, "parameters": {}}
    made = {"data": data, "host": {"processor": "Abacus"}, "training": training}
    changes = {model_id: {"made": made} for model_id in ("cnn", "cnn2", "svm")}
    one = concluded({"cnn": first(150), "svm": first(100)}, **changes)
    two = concluded({"cnn": first(150), "cnn2": first(9), "svm": first(100)}, **changes)
    coarse = concluded({"cnn": first(150), "svm": first(100)}, "coarse", **changes)

    def limits(content=one, label="SYNTHETIC stand-in", **made_by_id):
        models = [replace(entry, made=made_by_id.get(entry.id, made)) for entry in content.models]
        original = None if label == "CIFAR-100" else "CIFAR-100"
        data = replace(content.data, label=label, original=original)
        return "\n".join(find_limitations(replace(content, data=data, models=models)))

    plain = limits()
    assert "those of the SYNTHETIC stand-in: these numbers say nothing about CIFAR-100." in plain
    assert "say nothing" not in limits(label="CIFAR-100")
    assert "each model was trained once" in plain
    assert "2 pairs were compared" in plain  # superclasses and fine classes
    assert "6 pairs were compared" in limits(two)
    assert "pairs were compared" not in limits(coarse)
    assert "The superclass of Svm is that of the one class answered; what all" in plain
    assert "the one class answered" not in limits(coarse)
    both = concluded({"cnn": first(150), "svm": first(9), "svm2": first(100)}, **changes)
    assert "The superclass of Svm and Svm2 is that of the one class answered" in limits(both)
    assert "The features of Svm and Svm2 are pixels > standardize; other" in limits(both)
    for absent in ("not known", "other data", "held out", "different hardware", "123"):
        assert absent not in plain
    assert "How Net was trained is not known" in limits(cnn={})
    other = made | {"data": {"label": "old photographs", "md5s": {"train": "0" * 32}}}
    assert "Net was trained on other data (old photographs)" in limits(cnn=other)
    assert "Svm was trained on other data (old photographs)" in limits(svm=other)
    held_out = limits(cnn=made | {"validation_rows": 5000})
    assert "Net was trained without 5,000 training images" in held_out
    some = limits(svm=made | {"training": training | {"rows": 123}})
    assert "Svm was trained on 123 of the training images" in some
    assert "different machines" not in plain
    assert "this machine, whatever else it was doing. Seconds of the processor" in plain

    def trained_on(*machine):
        moved = {"cost": {"training_machine": Machine(*machine)}, **changes["svm"]}
        return limits(concluded({"cnn": first(150), "svm": first(9)}, **changes | {"svm": moved}))

    said = "Models were trained on different machines (Net: Abacus, 2 cores, 2 threads; Svm: "
    assert f"{said}Slide rule)" in trained_on("Slide rule")
    assert f"{said}Abacus, 4 cores, 2 threads)" in trained_on("Abacus", 4, 2)
    said = "may have been trained on different machines, for not all records tell (Net: Abacus, 2 "
    assert f"{said}cores, 2 threads; Svm: Abacus)" in trained_on("Abacus")
    assert f"{said}cores, 2 threads; Svm: not recorded)" in trained_on()
    assert "different machines" not in trained_on("Abacus", 2, 1)
    busy = {"cost": {"inference_load": 1.84}, **changes["cnn"]}
    busy = concluded({"cnn": first(150), "svm": first(9)}, **changes | {"cnn": busy})
    assert "on this machine, whose load average was 1.8 to 1.8 before." in limits(busy)
