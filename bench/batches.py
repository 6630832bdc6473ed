"""Which images make up the batches of an epoch: any, or P identities with K images each."""

from collections.abc import Iterator

import numpy as np

from bench.errors import RequestError


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Full batches only, as a batch of one has no batch statistics; a set smaller than a batch is one batch."""
    return max(1, count // batch_size)


def check(labels: np.ndarray, batch_size: int, images_per_identity: int) -> np.ndarray:
    """The identities that batches of P x K can be drawn from: those with at least K images.

    Raises:
        RequestError: fewer than two identities fit into a batch, or the data have fewer than P such identities.
    """
    per_batch = batch_size // images_per_identity
    identities, counts = np.unique(labels, return_counts=True)
    served = identities[counts >= images_per_identity]
    if images_per_identity > 1 and per_batch < 2:
        raise RequestError(
            f"a batch of {batch_size} cannot hold 2 identities with {images_per_identity} images each: "
            f"expected batch_size >= {2 * images_per_identity}"
        )
    if images_per_identity > 1 and len(served) < per_batch:
        raise RequestError(
            f"the loss asks for batches of {per_batch} identities with {images_per_identity} images each, and only "
            f"{len(served)} of {len(identities)} training identities have that many: choose a smaller batch_size or "
            "images_per_identity, or data with more images of each identity"
        )
    return served


def epoch(
    labels: np.ndarray, batch_size: int, images_per_identity: int, random: np.random.Generator
) -> Iterator[np.ndarray]:
    """The row numbers of each batch of one epoch, as many batches as `steps_per_epoch`.

    With one image per identity the epoch is a random order of all images. Else each batch draws P = batch_size // K
    different identities, in proportion to their images, and of each the next K of its own random order, which begins
    anew when fewer than K are left (FaceNet, Schroff et al. 2015, Sec. 3.2, fills its batches like that).
    """
    count = steps_per_epoch(len(labels), batch_size)
    if images_per_identity == 1:
        order = random.permutation(len(labels))
        for number in range(count):
            yield order[number * batch_size : (number + 1) * batch_size]
        return
    served = check(labels, batch_size, images_per_identity)
    rows = {identity: np.flatnonzero(labels == identity) for identity in served}
    share = np.array([len(rows[identity]) for identity in served], float)
    waiting: dict[int, np.ndarray] = {identity: random.permutation(rows[identity]) for identity in served}
    for _ in range(count):
        drawn = random.choice(served, batch_size // images_per_identity, replace=False, p=share / share.sum())
        batch = []
        for identity in drawn:
            if len(waiting[identity]) < images_per_identity:
                waiting[identity] = random.permutation(rows[identity])
            batch.append(waiting[identity][:images_per_identity])
            waiting[identity] = waiting[identity][images_per_identity:]
        yield np.concatenate(batch)
