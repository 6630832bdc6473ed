"""Do training and test share people or images? Compared by name and by pixels, before anything is trained."""

from collections.abc import Sequence

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
        people: the names of the people of the test protocol.

    Raises:
        RequestError: they share people or images, and `allow` is False.
    """
    known = {_plain(name) for name in faces.people.values()}
    shared_people = sorted({name for name in people if _plain(name) in known})
    shared_images = len(set(train_hashes) & set(test_hashes))
    if shared_people or shared_images:
        first = f" (the first is {shared_people[0]})" if shared_people else ""
        found = f"training and {protocol} share {len(shared_people)} people{first} and {shared_images} images"
        if not allow:
            raise RequestError(f"{found}: leave them out of the training data (exclude), or give --allow-overlap")
        return {"verdict": "allowed", "detail": found}
    unnamed = len(faces.identities) - len(faces.people)
    if unnamed:
        share = f"{unnamed} of {len(faces.identities)} training identities have no name"
        return {"verdict": "unknown", "detail": f"{share}; no shared image, and no shared name among the rest"}
    return {"verdict": "none", "detail": f"no shared name or image ({len(faces.identities)} training identities)"}


def _plain(name: str) -> str:
    """`Adam_Sandler` and `Adam Sandler` are one."""
    return "".join(c for c in name.casefold() if c.isalnum())
