"""Whether a study's ensemble can be made: its patches, its scorers, and what else the study asks for."""

from collections.abc import Iterator

from bench.errors import RequestError
from sweeps import ensemble
from sweeps.mistake import Key
from sweeps.study import Study

Wrong = tuple[Key, str]


def wrong(study: Study) -> Iterator[Wrong]:
    """Each mistake as (key, what is wrong and what is accepted); nothing of a study without an ensemble."""
    if study.ensemble is None:
        return
    yield from _asked_besides(study)
    try:
        ensemble.layout(study)
    except RequestError as error:
        yield ("ensemble", "counts"), str(error)
    yield from _scorers(study)


def fitting(study: Study, images: int) -> None:
    """Whether so many training images are enough for the principal components that the scorers are fitted with.

    Raises:
        RequestError: they are not.
    """
    if study.ensemble is None:
        return
    most = study.ensemble.counts[-1]
    for name, options in study.ensemble.scorers.items():
        if (pca := ensemble.within(study, most, options).get("pca", 0)) > images:
            raise RequestError(
                f"study {study.name!r}, ensemble.scorers.{name}: {pca} principal components need as many training images, "
                f"and there are {images:,}: ask for a smaller `pca`"
            )


def _asked_besides(study: Study) -> Iterator[Wrong]:
    """What does not go together with an ensemble."""
    if study.tune is not None:
        yield ("tune",), "the networks of an ensemble are trained as `fixed` says: leave out `tune`, or `ensemble`"
    if study.storage is not None:
        yield ("storage",), "the networks of an ensemble are fused by one driver, which needs no database: leave it out"
    for key in ("again", "untrained", "default_seeds"):
        if getattr(study, key):
            yield (key,), "this row belongs to a single network, and a study with `ensemble` has none: leave it out"
    if not study.protocols:
        yield ("protocols",), "an ensemble is scored on test protocols alone: name one"
    if study.primary and study.primary.startswith("closed/"):
        yield ("primary",), f"an ensemble has no closed-set test, got {study.primary!r}: name a protocol's figure"


def _scorers(study: Study) -> Iterator[Wrong]:
    from bench import scorers

    assert study.ensemble is not None
    for name, options in study.ensemble.scorers.items():
        try:
            scorers.check(name, options)
        except RequestError as error:
            yield ("ensemble", "scorers", name), str(error)
