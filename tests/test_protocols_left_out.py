"""Decontaminated figures beside the raw ones: they are those of the protocol without the images that are left out."""

import pytest
from made_up_lists import LISTS, embed, make

from bench import protocols
from bench.errors import RequestError


def with_list(name, images, **options):
    return protocols.create(name, root={**LISTS[name], "seen.csv": images}, leave_out="seen.csv", **options)


@pytest.mark.parametrize("name", ["lfw", "ytf", "megaface", "heldout", "retrieval"])
def test_both_stand_beside_each_other_with_the_same_figures_as_apart(name):
    plain = make(name)
    gone = plain.images[3::7]
    protocol = with_list(name, "image,identity\n" + "\n".join(f"{image},x" for image in gone) + "\nNobody/1.jpg,x\n")
    rows = embed(plain)
    answer, raw, reduced = protocol.score(rows), plain.score(rows), plain.without(gone)
    apart = reduced.score(rows[[plain.images.index(image) for image in reduced.images]])
    assert raw.metrics.items() <= answer.metrics.items() and raw.marks.items() <= answer.marks.items()
    for key, value in apart.metrics.items():
        prefix, _, figure = key.partition("/")
        assert answer.metrics[f"{prefix}-decontaminated/{figure}"] == value
    said = f"decontaminated: {len(gone)} of {len(plain.images)} images left out, listed as seen in training"
    own = {key for key in answer.metrics if "-decontaminated/" in key and not key.endswith("_se")}
    assert len(own) + sum(k.endswith("_se") for k in apart.metrics) == len(apart.metrics)
    assert all(answer.marks[key].startswith(said) and "partial" not in answer.marks[key] for key in own)
    assert answer.counts["left_out_images"] == len(gone)
    assert protocol.hash != plain.hash and protocol.primary == plain.primary


def test_a_name_with_a_comma_is_one_name_where_it_is_quoted():
    people = [f"Doe, {name}" for name in "ABCD"]
    images = [f"{who}/{number}.jpg" for who in people for number in range(3)]
    lists = {"images.txt": "\n".join(images), "seen.csv": f'image,identity\n"{images[0]}","{people[0]}"\n'}
    protocol = protocols.create("retrieval", root=lists, leave_out="seen.csv")
    assert protocol.images_out == (images[0],)


def test_with_nothing_left_out_both_are_equal_and_say_so():
    protocol = with_list("lfw", "image,identity\n")
    answer = protocol.score(embed(protocol))
    assert answer.metrics["lfw-decontaminated/accuracy"] == answer.metrics["lfw/accuracy"]
    assert answer.marks["lfw-decontaminated/accuracy"].startswith("decontaminated: 0 of 110 images left out")


def test_where_too_little_is_left_the_reason_stands():
    protocol = with_list("lfw", "\n".join(make("lfw").images))
    answer = protocol.score(embed(protocol))
    assert "lfw-decontaminated/accuracy" not in answer.metrics and "lfw/accuracy" in answer.metrics
    assert "nothing is left to be scored" in answer.undefined["lfw-decontaminated/accuracy"]


def test_it_goes_with_groups_and_with_missing_images():
    table = "image,group\n" + "\n".join(f"{image},{'ab'[n % 2]}" for n, image in enumerate(make("lfw").images))
    lists = {**LISTS["lfw"], "groups.csv": table, "seen.txt": "\n".join(make("lfw").images[:9])}
    protocol = protocols.create("lfw", root=lists, groups="groups.csv", leave_out="seen.txt")
    answer = protocol.score(embed(protocol))
    assert "lfw-decontaminated/group_a/accuracy" in answer.metrics
    partial = protocol.without(protocol.images[5:20])
    answer = partial.score(embed(partial))
    assert answer.marks["lfw/accuracy"].startswith("partial: 15 of 110")
    assert "partial: 15 of 110" in answer.marks["lfw-decontaminated/accuracy"]
    assert answer.counts["left_out_images"] == 5


def test_a_list_of_other_images_is_refused():
    with pytest.raises(RequestError, match=r"seen.csv names none of the 110 images of lfw.*got 'Nobody/1.jpg'"):
        with_list("lfw", "image\nNobody/1.jpg\n")
    with pytest.raises(RequestError, match="leave_out is a file of images.*got 3"):
        protocols.create("lfw", root=LISTS["lfw"], leave_out=3)
