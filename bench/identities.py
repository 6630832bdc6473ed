"""Which identities of a data set are set aside: neither trained on nor chosen by."""

import numpy as np

from bench.errors import RequestError


def held_out(count: int, share: float, seed: int) -> np.ndarray:
    """The numbers of the identities set aside, `share` of `count`: the same for every loss, backbone and seed of a study.

    Raises:
        RequestError: fewer than two would be on either side.
    """
    size = round(share * count)
    if share and (size < 2 or count - size < 2):
        raise RequestError(
            f"holdout {share} of {count} identities leaves {size} for development and {count - size} for training: "
            "at least 2 of each are needed"
        )
    return np.random.default_rng(seed).permutation(count)[:size]
