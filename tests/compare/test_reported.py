"""What others report of the networks of a comparison."""

from dataclasses import replace

from comparisons import changed, make_comparison

from svmcifar.compare.reported import reported_facts


def of_cifar(**made):
    return changed(make_comparison(svm_labels="fine"), {"made": made})


def test_network_of_a_preset_stands_beside_its_report():
    found = of_cifar(recipe={"preset": "snapshots", "arch": "weak-baseline", "epochs": 15})
    ((name, text),) = reported_facts(found)
    network = found.models[0]
    accuracy = found.scores["fine"][network.id].accuracy
    assert name == network.name
    reported = "reported 45.07 % of test images, 15 epochs, one network"
    assert text.startswith(f"{reported}; here {100 * accuracy:.2f} % of test images, ")
    assert network.cost.training_hardware in text


def test_reference_network_is_known_without_a_preset():
    ((_, text),) = reported_facts(of_cifar(recipe={"width": 16}))
    assert "reported 66.4 % of test images, 50 epochs, at width 64; here " in text
    assert " at width 16, " in text


def test_other_networks_and_data_have_no_report():
    assert reported_facts(of_cifar(recipe={"arch": "timm:resnet18", "preset": None})) == []
    assert reported_facts(of_cifar()) == []
    assert reported_facts(of_cifar(recipe="strange")) == []
    found = of_cifar(recipe={"width": 16})
    assert reported_facts(replace(found, data=replace(found.data, label="CIFAR-10"))) == []
