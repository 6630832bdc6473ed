"""Small list files of every protocol, and embeddings that know the people."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from itertools import combinations
from pathlib import Path

import made_up_ijb
import numpy as np

from bench import protocols

PEOPLE = [f"Person_{number:02d}" for number in range(40)]


def lfw_pairs(folds=10, each=4):
    """LFW's own format: four people a fold, so that folds share nobody."""
    lines = [f"{folds}\t{each}" if folds > 1 else f"{each}"]
    for fold in range(folds):
        group = PEOPLE[4 * fold : 4 * fold + 4]
        lines += [f"{group[n % 4]}\t{1 + n // 4}\t{3 + n // 4}" for n in range(each)]
        lines += [f"{a}\t1\t{b}\t2" for a, b in list(combinations(group, 2))[:each]]
    return "\n".join(lines) + "\n"


def ytf_lists():
    pairs, frames = ["split,pair,first,second,same"], []
    for split in range(10):
        a, b = PEOPLE[2 * split : 2 * split + 2]
        rows = [(f"{a}/0", f"{a}/1", 1), (f"{b}/0", f"{b}/2", 1), (f"{a}/0", f"{b}/0", 0), (f"{a}/1", f"{b}/2", 0)]
        pairs += [f"{split + 1},{n},{first},{second},{same}" for n, (first, second, same) in enumerate(rows, 1)]
        for number, video in enumerate([f"{a}/0", f"{a}/1", f"{b}/0", f"{b}/2"]):
            frames += [f"{video}/{frame:04d}.jpg" for frame in range(1 + number)]
    return {"splits.txt": "\n".join(pairs), "images.txt": "\n".join(frames)}


def faces(people, each):
    return "\n".join(f"{person}/{number}.jpg" for person in people for number in range(each))


def csv_pairs(folds=4, each=6):
    """The header of CFP's lists, one fold after the other; three people a fold."""
    lines = ["fold,same,image1,image2"]
    for fold in range(folds):
        a, b, c = PEOPLE[3 * fold : 3 * fold + 3]
        for n in range(each):
            lines += [f"{fold + 1},1,{a}/{n}.jpg,{a}/{n + 1}.jpg", f"{fold + 1},0,{(b, c)[n % 2]}/{n}.jpg,{a}/0.jpg"]
    return "\n".join(lines) + "\n"


@cache
def bins_folder():
    """Two verification files, in a folder that goes when the tests end."""
    from made_up_bins import of_lfw

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    of_lfw(folder / "one.bin")
    of_lfw(folder / "two.bin", each=3)
    return folder


def devkit_lists(sizes=(20, 60, 150)):
    """The MegaFace devkit's: probes with ids, and three draws of distractors; those of draw 2 are not nested."""
    probes = [f"{person}/{person}_{number}.png" for person in PEOPLE[:6] for number in range(4)]
    pool = [f"{user % 9}/{user}@N08/{number}_0.jpg" for user in range(34) for number in range(5)]
    lists = {"probes.json": json.dumps({"path": probes, "id": [name.split("/")[0] for name in probes]}, indent=4)}
    for draw in (1, 2, 3):
        random = np.random.default_rng(draw)
        order = random.permutation(len(pool))
        for size in sizes:
            order = random.permutation(len(pool)) if draw == 2 else order
            lists[f"templatelists/drawn.json_{size}_{draw}"] = json.dumps({"path": [pool[row] for row in order[:size]]})
    lists["facescrub_noises.txt"] = "# noisy\nPerson_00_2.png\nPerson_03_0.png\nPerson_03_1.png\nPerson_77_1.png\n"
    lists["megaface_noises.txt"] = "\n".join(f"{row}\t{name}" for row, name in enumerate(pool[::7]))
    return lists


def identification():
    """Two gallery images of most people, one that is a probe as well, and probes of people who are not in the gallery."""
    images = {person: [f"{person}/{number}.jpg" for number in range(5)] for person in PEOPLE[:40]}
    gallery = [name for person in PEOPLE[:24] for name in images[person][: 1 + (person != PEOPLE[0])]]
    probe = [name for person in PEOPLE[:24] for name in images[person][1:3]]
    probe += [name for person in PEOPLE[24:] for name in images[person][:4]]
    label = {person: number for number, person in enumerate(PEOPLE)}
    index = {name: number for number, name in enumerate(sorted({*gallery, *probe}, reverse=True))}
    lines = [[f"{name} {index[name]} {label[name.split('/')[0]]}" for name in side] for side in (gallery, probe)]
    return {"test_ident_gallery.txt": "\n".join(lines[0]), "test_ident_probe.txt": "\n".join(lines[1])}


def blufr(trials=4):
    """The toolkit's text files: 40 people with one to four images, of whom ten are left for training in each trial."""
    people = [name for place, name in enumerate(PEOPLE) for _ in range(1 + place % 4)]
    files = [f"{name}_{1 + people[:place].count(name):04d}.jpg" for place, name in enumerate(people)]
    sets = {"test": [str(trials)], "gallery": [str(trials)], "probe": [str(trials)]}
    for trial in range(trials):
        test = [row for row, name in enumerate(people) if (PEOPLE.index(name) + trial) % 4 or name == PEOPLE[0]]
        gallery = [row for row in test if files[row].endswith("_0002.jpg") and PEOPLE.index(people[row]) < 24]
        probe = [row for row in test if row not in gallery]
        for part, rows in (("test", test), ("gallery", gallery), ("probe", probe)):
            sets[part] += [str(len(rows)), *(f"{row + 1}, {files[row]}" for row in rows)]
    lists = {f"{part}_set.txt": "\n".join(lines) for part, lines in sets.items()}
    labels = "\n".join(str(1 + PEOPLE.index(name)) for name in people)
    return {"image_list.txt": "\n".join(files), "labels.txt": labels, **lists}


def blufr_trials(text):
    """The sets of the toolkit's text files, by loops."""
    found = []
    for part in ("test", "gallery", "probe"):
        lines = iter(text[f"{part}_set.txt"].splitlines())
        found.append(
            [[int(next(lines).split(",")[0]) - 1 for _ in range(int(next(lines)))] for _ in range(int(next(lines)))]
        )
    return list(zip(*found, strict=True))


# What an embedding that is the same for everybody scores; 0 in every other figure.
CHANCE = {"accuracy": 0.5, "auc": 0.5, "eer": 0.5, "accuracy_mean": 0.5, "accuracy_insightface": 0.5}

LISTS = {
    "bins": bins_folder,
    "pairs": {"pairs.csv": csv_pairs().replace("image1,image2", "first,second")},
    "lfw": {"pairs.txt": lfw_pairs()},
    "ytf": ytf_lists(),
    "megaface": {"probes.txt": faces(PEOPLE[:6], 4), "distractors.txt": faces(PEOPLE[6:], 5), **devkit_lists()},
    "lfw_blufr": blufr(),
    "rank_k": identification(),
    "ijb": made_up_ijb.release(),
    "heldout": {"images.txt": faces(PEOPLE[:24], 3)},
    "retrieval": {"images.txt": faces(PEOPLE[:24], 3) + "\n" + faces(PEOPLE[24:30], 1)},
}


def make(name, **options):
    assert name in LISTS, f"give the new protocol {name!r} a small example in LISTS, so that the contract is tested"
    root = LISTS[name]
    return protocols.create(name, root=root() if callable(root) else root, **options)


def embed(protocol, seed=0, noise=0.9, width=12):
    """Images of one person lie near each other; a few rows are copied, so that there are ties."""
    random = np.random.default_rng(seed)
    centres = {person: random.normal(size=width) for person in sorted(set(protocol.people))}
    rows = np.stack([centres[person] for person in protocol.people]) + noise * random.normal(
        size=(len(protocol.people), width)
    )
    rows[::9] = rows[0]
    return rows
