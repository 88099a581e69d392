"""Machines that models were trained on, and when two are the same."""

import pytest

from svmcifar.cnn.recipe import device_name
from svmcifar.compare.machines import Machine, are_same, machine_of_card, shared


def test_cards_tell_what_they_tell():
    torch = pytest.importorskip("torch")
    card = {"device": device_name(torch.device("cpu")), "host": {"cores": 7}}
    machine = machine_of_card(card)
    n_threads = torch.get_num_threads()
    threads = f"{n_threads} thread{'s' if n_threads > 1 else ''}"
    assert machine.describe() == f"{machine.processor}, 7 cores, {threads}"
    assert card["device"].startswith(machine.processor)
    del card["host"]  # as older releases wrote them
    assert machine_of_card(card) == machine._replace(cores=None)
    assert machine_of_card({"device": "NVIDIA H200"}) == Machine("NVIDIA H200")
    assert machine_of_card({"device": "AMD EPYC, 2 threads (Linux)"}) == Machine(
        "AMD EPYC", None, 2
    )
    assert machine_of_card({}) == Machine()
    assert Machine().describe() is None


@pytest.mark.parametrize(
    ("others", "same"),
    [
        ([Machine("A", 2, 2)], True),
        ([Machine("A", 2, 1)], True),  # the same machine, used otherwise
        ([Machine("A", 4)], False),
        ([Machine("B", 2)], False),
        ([Machine("B")], False),
        ([Machine("A")], None),
        ([Machine()], None),
        ([Machine("A", 2), Machine()], None),
        ([Machine("A"), Machine("A", 4)], False),
    ],
)
def test_machines_are_the_same_only_if_they_are(others, same):
    assert are_same([Machine("A", 2, 2), *others]) is same


def test_what_machines_share():
    assert shared([Machine("A", 2, 2), Machine("A", 2, 1)]) == Machine("A", 2)
