"""What a training and a test set share: people by name, images by their looks, and who is left without them."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import datasets, protocols
from bench.duplicates import of_protocol, overlap, write
from bench.errors import RequestError
from bench.images import Faces
from bench.overlap import shared

DATA = Path(os.environ.get("FACEBENCH_DATA") or Path(__file__).parents[1] / "../shared/data").resolve()


@pytest.fixture(scope="module")
def photographs():
    """Generated faces, 8 people x 3, 64 x 64."""
    faces = datasets.load("faces", identities=8, per_identity=3, size=64)
    return np.stack(list(faces.source.images(faces.names))).reshape(8, 3, 64, 64, 3)


def put(root, name, image, **options):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(image)).save(root / name, **options)


@pytest.fixture
def sets(tmp_path, photographs):
    """Training: five people. Test: six, of whom one has the name of one in training, and three share photographs."""
    train, test = tmp_path / "train", tmp_path / "test"
    for place, who in enumerate(("Ann_Lee", "p1", "p2", "p3", "p4")):
        for number in range(3):
            put(train, f"{who}/{number}.png", photographs[place, number])
    put(train, "p4/black.png", np.zeros((64, 64, 3), np.uint8))
    for number in range(2):
        put(test, f"ann lee/{number}.png", photographs[5, number])  # the name of one, the face of another
        put(test, f"Same Pixels/{number}.png", photographs[1, 0] if number else photographs[6, 0])
        put(test, f"Packed/{number}.jpg", photographs[2, 0] if number else photographs[6, 1], quality=60)
        put(test, f"Mirror/{number}.png", photographs[3, 1][:, ::-1] if number else photographs[6, 2])
        put(test, f"Clean/{number}.png", photographs[7, number])
    put(test, "Clean/black.png", np.zeros((64, 64, 3), np.uint8))
    (test / "Clean/broken.png").write_bytes(b"nothing")
    return [datasets.load("folder", paths=[str(root)]) for root in (train, test)]


def test_every_kind_is_found_and_nothing_else(sets):
    train, test = sets
    found = overlap(train, test)
    assert [(m.kind, m.test, m.train, m.count) for m in found.matches] == [
        ("name", "ann lee", "Ann_Lee", 1),
        ("exact", "Same Pixels/1.png", "p1/0.png", 1),
        ("near", "Packed/1.jpg", "p2/0.png", 1),
        ("mirrored", "Mirror/1.png", "p3/1.png", 1),
    ]
    assert 0 < found.matches[2].value <= 20 and found.matches[3].value <= 2
    assert [m.train_identity for m in found.matches] == ["Ann_Lee", "p1", "p2", "p3"]
    assert found.identities == ("Mirror", "Packed", "Same Pixels", "ann lee")
    assert found.train_images == ("p1/0.png", "p2/0.png", "p3/1.png")
    assert found.counts == {
        "train_images": 16,
        "test_images": 12,
        "train_identities": 5,
        "test_identities": 5,
        "train_identities_without_a_name": 4,
        "train_without_hash": 1,
        "test_without_hash": 2,
        "name": 1,
        "exact": 1,
        "near": 1,
        "mirrored": 1,
        "embedding": 0,
    }
    assert found == overlap(train, test), "the same request, the same answer"


def test_what_is_contaminated_is_all_of_the_person_or_the_image_alone(sets):
    found = overlap(*sets)
    people = [name for name in sets[1].names if not name.startswith("Clean/")]
    assert list(found.contaminated()) == people and len(people) == 8
    assert found.contaminated("image") == (
        "Mirror/1.png",
        "Packed/1.jpg",
        "Same Pixels/1.png",
        "ann lee/0.png",
        "ann lee/1.png",
    )
    assert found.contaminated("image", ["exact", "near"]) == ("Packed/1.jpg", "Same Pixels/1.png")
    assert found.contaminated("identity", ["name"]) == ("ann lee/0.png", "ann lee/1.png")
    for by, kinds in (("person", ["name"]), ("image", ["names"])):
        with pytest.raises(RequestError, match="contaminated is by identity or image, of kinds name, exact"):
            found.contaminated(by, kinds)


def test_each_comparison_can_be_left_out(sets):
    assert {m.kind for m in overlap(*sets, images=False).matches} == {"name"}
    assert {m.kind for m in overlap(*sets, names=False).matches} == {"exact", "near", "mirrored"}
    assert {m.kind for m in overlap(*sets, names=False, distance=0).matches} <= {"exact", "mirrored"}
    with pytest.raises(RequestError, match="nothing to compare"):
        overlap(*sets, names=False, images=False)
    for wrong in (-1, 128, 4.0, True):
        with pytest.raises(RequestError, match="whole number from 0 to 127"):
            overlap(*sets, distance=wrong)


def test_embeddings_find_the_person_whatever_the_name(sets):
    train, test = sets
    random = np.random.default_rng(0)
    people = random.normal(size=(11, 256))
    seen = people[:5][train.labels] + 0.3 * random.normal(size=(len(train.names), 256))
    who = np.array([{"Mirror": 3}.get(test.identities[label], 5 + label) for label in test.labels])
    asked = people[who] + 0.3 * random.normal(size=(len(who), 256))
    by_itself = overlap(train, test, names=False, images=False, embeddings=(seen, asked))
    assert ("Mirror", "p3") in [(m.test, m.train) for m in by_itself.matches]
    assert by_itself.settings["threshold"] < 0.5
    assert by_itself.settings["expected_by_chance"] == 25 / 10, "five people are few to set a threshold by"
    found = overlap(train, test, names=False, images=False, embeddings=(seen, asked), threshold=0.7)
    assert [(m.kind, m.test, m.train) for m in found.matches] == [("embedding", "Mirror", "p3")]
    assert found.matches[0].value > 0.9 and found.settings["level"] == "identity"
    assert found.settings["threshold"] == 0.7 and found.settings["expected_by_chance"] is None
    assert found.contaminated("image") == ("Mirror/0.png", "Mirror/1.png")
    each = overlap(train, test, names=False, images=False, embeddings=(seen, asked), level="image", threshold=0.8)
    assert [(m.test, m.train_identity, m.count) for m in each.matches] == [
        ("Mirror/0.png", "p3", 3),
        ("Mirror/1.png", "p3", 3),
    ]
    none = overlap(train, test, names=False, images=False, embeddings=(seen, asked), threshold=1.0)
    assert none.matches == () and none.contaminated() == ()
    kept = train.labels != 0  # a set that was cut down: its first identity has no image
    fewer = Faces(tuple(np.array(train.names)[kept]), train.labels[kept], train.identities, train.source)
    again = overlap(fewer, test, names=False, images=False, embeddings=(seen[kept], asked), threshold=0.7)
    assert again.matches == found.matches
    with pytest.raises(RequestError, match="training images are"):
        overlap(train, test, embeddings=(seen[1:], asked))


def test_the_tables_say_the_same(sets, tmp_path):
    found = overlap(*sets)
    lines, images = write(found, tmp_path / "out")
    with lines.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["kind"], row["test"], row["train"]) for row in table] == [
        (m.kind, m.test, m.train) for m in found.matches
    ]
    assert [float(row["value"]) for row in table] == [m.value for m in found.matches]
    with images.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["image"] for row in table] == list(found.contaminated()) and table[0]["identity"] == "Mirror"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["contaminated.csv", "overlap.csv"]
    write(found, tmp_path / "out", by="image")
    assert len((tmp_path / "out/contaminated.csv").read_text().splitlines()) == 1 + 5


def test_a_protocol_is_a_labelled_set():
    lists, source = datasets.protocol(
        {"name": "faces", "size": 16, "identities": 20, "pairs": 5, "per_identity": 3}, "lfw"
    )
    protocol = protocols.create("lfw", root=lists)
    faces = of_protocol(protocol, source)
    assert isinstance(faces, Faces) and faces.names == tuple(protocol.images)
    assert [faces.identities[label] for label in faces.labels] == list(protocol.people)
    assert set(faces.people) == set(faces.identities)


def test_names_are_shared_however_they_are_written():
    train = {"n1": "Adam Sandler", "n2": "adam-sandler", "n3": "Bo", "n4": "???"}
    assert shared(train, {"Adam_Sandler": "Adam_Sandler", "Cy": "Cy", "x": "..."}) == {"Adam_Sandler": ["n1", "n2"]}


PAIRS = {  # View 2 -> the rest of LFW, and CelebA: all that are within 44
    "Ari_Fleischer_0006": "Ari_Fleischer_0011",
    "Carlos_Beltran_0001": "Raul_Ibanez_0001",
    "Renee_Zellweger_0013": "Renee_Zellweger_0010",
    "Eva_Amurri_0001": "Emmy_Rossum_0001",
    "Andrew_Gilligan_0001": "Andrew_Caldecott_0001",
    "George_W_Bush_0016": "George_W_Bush_0039",
    "Nicole_Hiltz_0001": "155630",
}


def part_of(name, every, wanted):
    """Each `every`-th image of a zip, and the wanted ones."""
    whole = datasets.load("folder", paths=[str(DATA / name)])
    kept = [row for row, image in enumerate(whole.names) if row % every == 0 or Path(image).stem in wanted]
    names = tuple(whole.names[row] for row in kept)
    return Faces(names, whole.labels[kept], whole.identities, whole.source, whole.people)


@pytest.mark.slow
@pytest.mark.skipif(
    not DATA.exists(), reason=f"no real data at {DATA}: set FACEBENCH_DATA to the folder that holds the zips"
)
def test_lfw_shares_photographs_with_itself_and_with_celeba():
    """Some of them under two names. No other pair of these 1,100 x 1,800 images is near."""
    view2 = part_of("lfw_view2_aligned112.zip", 7, PAIRS.keys())
    found = []
    for name in ("lfw_rest_aligned112.zip", "celeba_subset_aligned112.zip"):
        found += overlap(part_of(name, 6, PAIRS.values()), view2, names=False).matches
    assert {Path(m.test).stem: Path(m.train).stem for m in found} == PAIRS and {m.kind for m in found} == {"near"}
    assert sum(m.test_identity != m.train_identity for m in found) == 4
