"""Test people who look like training identities: found by their embeddings, and shown a second time without them."""

import numpy as np
from made_up_lists import make

from bench import decontamination
from bench.decontamination import Decontamination, sample


def faces(people, random, width=64, noise=0.05):
    """A direction for each person, and a noisy embedding for each of `people`."""
    names = sorted(set(people))
    place = {name: row for row, name in enumerate(names)}
    centres = random.normal(size=(len(names), width))
    rows = centres[[place[who] for who in people]] + noise * random.normal(size=(len(people), width))
    return rows, dict(zip(names, centres, strict=True))


def test_the_people_of_both_sets_are_left_out_and_no_others():
    random = np.random.default_rng(0)
    protocol = make("lfw")
    rows, centres = faces(protocol.people, random)
    shared = ["Person_03", "Person_20"]
    training = np.concatenate([[centres[who] for who in shared], random.normal(size=(50, 64))]).repeat(4, axis=0)
    labels = np.arange(52).repeat(4)
    answer = protocol.score(rows)
    raw = dict(answer.metrics)
    Decontamination(training + 0.05 * random.normal(size=training.shape), labels).enter(answer, protocol, rows)
    gone = [name for name in protocol.images if name.split("/")[0] in shared]
    apart = protocol.without(gone)
    left = apart.score(rows[[protocol.images.index(name) for name in apart.images]])
    assert raw.items() <= answer.metrics.items()
    assert answer.metrics["lfw-decontaminated/accuracy"] == left.metrics["lfw/accuracy"]
    assert (answer.counts["left_out_people"], answer.counts["left_out_images"]) == (2, len(gone))
    said = "decontaminated: without the people who look like training identities to the network itself"
    assert answer.marks["lfw-decontaminated/accuracy"].startswith(said)


def test_strangers_are_left_in():
    random = np.random.default_rng(1)
    protocol = make("lfw")
    rows, _ = faces(protocol.people, random)
    answer = protocol.score(rows)
    Decontamination(random.normal(size=(80, 64)), np.arange(80)).enter(answer, protocol, rows)
    assert answer.counts["left_out_people"] == 0
    assert answer.metrics["lfw-decontaminated/accuracy"] == answer.metrics["lfw/accuracy"]


def test_of_each_identity_the_first_images_stand_for_it():
    labels = np.array([1, 0, 1, 1, 0, 2, 1])
    assert sample(labels, 2).tolist() == [0, 1, 2, 4, 5]
    assert sample(labels, 10).tolist() == list(range(7))


def test_a_network_without_directions_finds_nobody():
    assert decontamination.prepared(lambda rows: np.zeros((len(rows), 3), np.float32), np.array([0, 0, 1])) is None
