"""Do training and test share people or images? Compared by name and by pixels, before anything is trained."""

from collections.abc import Mapping, Sequence

from bench.errors import RequestError
from bench.images import Faces


def compare(
    faces: Faces,
    train_hashes: Sequence[bytes],
    protocol: str,
    people: Sequence[str],
    test_hashes: Sequence[bytes],
    allow: bool,
) -> dict[str, str]:
    """The verdict (`none`, `unknown` or `allowed`) and its detail in words.

    Args:
        faces: the training set (`people` names those of its identities whose name is known).
        train_hashes, test_hashes: a hash of each image's pixels.
        people: the names of the people of the test protocol; `?...` is nobody's (see `bench.protocols.Comparisons`).

    Raises:
        RequestError: they share people or images, and `allow` is False.
    """
    named = {name: name for name in people if not name.startswith("?")}
    shared_people = sorted(shared(faces.people, named))
    shared_images = len(set(train_hashes) & set(test_hashes))
    if shared_people or shared_images:
        first = f" (the first is {shared_people[0]})" if shared_people else ""
        found = f"training and {protocol} share {len(shared_people)} people{first} and {shared_images} images"
        if not allow:
            raise RequestError(f"{found}: leave them out of the training data (exclude), or give --allow-overlap")
        return {"verdict": "allowed", "detail": found}
    unnamed = len(faces.identities) - len(faces.people)
    without = [f"{unnamed} of {len(faces.identities)} training identities have no name"] if unnamed else []
    if len(named) < len(set(people)):
        without.append(f"the people of {protocol} have none")
    if without:
        share = ", and ".join(without)
        return {"verdict": "unknown", "detail": f"{share}; no shared image, and no shared name among the rest"}
    return {"verdict": "none", "detail": f"no shared name or image ({len(faces.identities)} training identities)"}


def shared(train: Mapping[str, str], test: Mapping[str, str]) -> dict[str, list[str]]:
    """The identities of `test` whose name somebody in `train` has -> those identities; both are identity -> name."""
    known: dict[str, list[str]] = {}
    for identity, name in train.items():
        known.setdefault(_plain(name), []).append(identity)
    return {identity: known[plain] for identity, name in test.items() if (plain := _plain(name)) and plain in known}


def _plain(name: str) -> str:
    """`Adam_Sandler` and `Adam Sandler` are one."""
    return "".join(c for c in name.casefold() if c.isalnum())
