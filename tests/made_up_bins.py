"""Small verification files as insightface ships them."""

import pickle
from pathlib import Path

import numpy as np
from made_up_lists import lfw_pairs

from bench import protocols

PROTOCOLS = (2, 3, 4, 5)  # of pickle


class Calls:
    """What a pickle of this does when it is loaded: call `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def write(path: Path, images, same, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps((list(images), list(same)), protocol=protocol))
    return path


def tiny(folds=2, images=4):
    """Names of `folds` x 2 pairs, genuine and impostor by turns."""
    return [b"%d" % number for number in range(folds * images)], folds * [True, False]


def of_lfw(path: Path, encode=str.encode, protocol: int = 4, **options):
    """The pairs of a made-up `lfw` as a file; also that protocol, and the row of `lfw` that each of the file's images is."""
    lfw = protocols.create("lfw", root={"pairs.txt": lfw_pairs(**options)})
    rows = np.stack([lfw.pairs.first, lfw.pairs.second], axis=1).ravel()
    write(path, [encode(lfw.images[row]) for row in rows], lfw.pairs.same.tolist(), protocol)
    return lfw, rows
