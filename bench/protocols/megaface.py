"""MegaFace: rank-k and TAR at very small FAR, probes against distractors (Kemelmacher-Shlizerman et al., CVPR 2016).

Challenge 1 and 2 from the devkit's lists, or the same with any people from two lists of one's own.

Metrics: `megaface/rank1`, `rank5`, `rank10`, `rank1_macro` (the largest gallery), `rank1_at_1000` (smaller ones),
`tar_at_far_1e-3` ... `1e-6`, with the devkit's lists down to `1e-9`; `rank1_optimistic` (ties win) where it differs.
The ROC curve ends a little above FAR 1e-3: beyond it nothing is counted.

What gives other numbers has another name, in this order: `megaface2` (challenge 2), `megaface-fgnet` (its probes),
`-refined` and `-refined_insightface` (noisy images, see `_noise`), `-set2`, `-set3` (another draw of distractors), `-sets`
(all of them: `rank1` is the mean, `rank1_sd` the standard deviation, `rank1_set1` the first's). The images are the same
with and without `refined`, so one array of embeddings has both figures.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import person_clusters
from bench.protocols import _devkit_lists, _gallery_figures, _lists, _noise, _pairs, _partial, _probe_lists
from bench.protocols._galleries import Set, drawn, searched
from bench.protocols._gallery_figures import DEPTH, RANKS
from bench.scorers import COSINE, Scorer
from bench.scores import Scores

FARS = (1e-3, 1e-4, 1e-5, 1e-6)
FARS_OF_A_MILLION = (*FARS, 1e-7, 1e-8, 1e-9)  # 3,530 probes x 1,000,000 distractors are 3.5e9 impostor pairs


@dataclass(frozen=True, eq=False)
class Megaface:
    """Probes first, then distractors; see `bench.protocols.Comparisons`.

    Attributes:
        probes: how many of `images` are probes.
        sets: the galleries of each draw of distractors.
        sizes: gallery sizes, rising, as they are named; the last is the largest gallery.
        seed: of the order in which the distractors enter drawn galleries; None where the devkit's lists say who does.
        fars: where TAR is asked for, falling.
        depth: the CMC's last rank; None: the largest gallery's size.
        noise: which images are noisy, of refined figures.
        device: where the products are made: None (numpy), `cpu` or `cuda` (torch). No figure depends on it.
    """

    images: tuple[str, ...] = field(repr=False)
    people: tuple[str, ...] = field(repr=False)
    probes: int
    sets: tuple[Set, ...] = field(repr=False)
    sizes: tuple[int, ...]
    seed: int | None
    spec: dict[str, Any]
    name: str = "megaface"
    fars: tuple[float, ...] = FARS
    depth: int | None = DEPTH
    noise: _noise.Noise | None = field(default=None, repr=False)
    device: str | None = None

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        return f"{self.name}/rank1"

    @cached_property
    def owner(self) -> np.ndarray:
        """(P,) the number of the person of each probe that is searched for, in the order of their names."""
        return np.unique(np.array(self.people[: self.probes])[self._searched], return_inverse=True)[1]

    @cached_property
    def clusters(self) -> np.ndarray:
        """(P,) the cluster of people that the jackknife of TAR leaves out together."""
        cluster = person_clusters(dict(enumerate(np.bincount(self.owner).tolist())))
        return np.array([cluster[person] for person in range(len(cluster))])[self.owner]

    @cached_property
    def galleries(self) -> tuple[Set, ...]:
        """The sets as they are searched, of refined figures without noisy distractors."""
        return self.noise.galleries(self.sets) if self.noise else self.sets

    @cached_property
    def _searched(self) -> np.ndarray:
        """(P,) the rows of the probes that are searched for."""
        return np.arange(self.probes) if self.noise is None else self.noise.searched

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """Rank-k over M(M-1) trials per identity, against distractors alone; TAR at FAR over probe x distractor.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), a number that is not finite, or (by cosine) a row of zeros.
        """
        array = _pairs.checked(embeddings, self.images, self.name, scorer)
        probes, distractors = array[: self.probes][self._searched], array[self.probes :]
        if self.noise and self.noise.changes_features:
            probes = self.noise.replaced(probes, self.owner)
        prepare = (scorer or COSINE).prepare
        parts = {part.label: self._figures(part, probes, distractors, prepare) for part in self.galleries}
        answer = _gallery_figures.together(parts) if len(parts) > 1 else next(iter(parts.values()))
        if self.noise:
            answer.counts["noisy_probes"] = int(self.noise.probes.sum())
            answer.counts["noisy_distractors"] = int(self.noise.distractors.sum())
        return _partial.marked(answer, self.spec)

    def _figures(self, part: Set, probes: np.ndarray, distractors: np.ndarray, prepare: Any) -> Scores:
        depth = max(part.largest, *RANKS) if self.depth is None else self.depth
        found = [
            searched(
                chain, probes, self.owner, distractors,
                clusters=self.clusters, depth=depth, largest_far=max(self.fars), prepare=prepare, device=self.device,
            )
            for chain in part.chains
        ]  # fmt: skip
        answer = _pairs.joined(
            _gallery_figures.identification(self.name, found, self.owner, depth),
            _gallery_figures.verification(self.name, found[-1], self.fars),
        )
        answer.raw["probe"] = self._searched[answer.raw["probe"]]
        answer.counts.update(_gallery_figures.counts(found[-1], self.owner, len(self.images), part.largest))
        return answer

    def without(self, missing: Collection[str]) -> "Megaface":
        """See `bench.protocols.Comparisons`. The order in which the others enter drawn galleries is drawn anew."""
        keep = _partial.kept(self.name, self.images, missing)
        images, people = _partial.chosen(self.images, keep), _partial.chosen(self.people, keep)
        probes = int(keep[: self.probes].sum())
        sets, sizes = self.sets, self.sizes
        if self.seed is not None:
            sizes = _probe_lists.cut(sizes, len(images) - probes)
            sets = (drawn(len(images) - probes, sizes, self.seed),)
        else:
            sets = tuple(part.each(lambda chain: chain.renumbered(keep[self.probes :])) for part in sets)
        noise = self.noise and self.noise.chosen(keep)
        made = replace(self, images=images, people=people, probes=probes, sets=sets, sizes=sizes, noise=noise)
        return replace(made.checked(), spec=_partial.lacking(self.spec, "images", missing, len(keep)))

    def checked(self) -> "Megaface":
        """The protocol itself.

        Raises:
            RequestError: what `_probe_lists.check` and `Noise.check` refuse.
        """
        _probe_lists.check(self.people, self.probes, self.galleries, self._searched)
        if self.noise:
            self.noise.check(self.people[: self.probes])
        return self


def load(
    root: _lists.Root,
    *,
    probes: str | None = None,
    distractors: str | None = None,
    images: Sequence[str] | None = None,
    min_images: int = 5,
    max_images: int = 10,
    exclude: str | None = None,
    sizes: Sequence[int] | None = None,
    seed: int = 0,
    allow_missing: bool = False,
    challenge: int = 1,
    set: int | str = 1,
    fars: Sequence[float] | None = None,
    depth: int | str = DEPTH,
    refined: str | None = None,
    probe_noises: str | None = "facescrub_noises.txt",
    distractor_noises: str | None = "megaface_noises.txt",
    noise_seed: int = 0,
    device: str | None = None,
) -> Megaface:
    """Probes and distractors from the devkit's lists, from two lists of one's own, or from a listing of images.

    The devkit's are taken where they lie in `root` or in its folder `templatelists` (and no distractors.txt does).

    Args:
        root: the folder of the lists (or the devkit), or a mapping of file name -> text.
        probes: `facescrub`, `facescrub_uncropped` or `fgnet`, the devkit's lists, whose counts are asserted; or a file in
            any form of `_devkit_lists`. Without it facescrub, or with lists of one's own `probes.txt`.
        distractors: a file with one path `PERSON/.../image` a line, or FILE of the lists `FILE_<size>_<set>`. Without it
            `distractors.txt` or the devkit's.
        images: folders or archives that hold the images. With neither probes nor distractors given, and without
            lists in `root`, both are taken from them: probes are the people with at least `min_images` images, the first
            `max_images` of each by name; distractors are all images of the other people.
        exclude: the people who are neither: a file with one a line, or `FILE:COLUMN`, a csv's first column where COLUMN
            has a value.
        sizes: gallery sizes; without them 10, 100, ... 1,000,000. Of galleries that are drawn, those beyond the number of
            distractors are cut, and the largest is always all of them. Of the devkit's lists, those that are there.
        seed: of the order in which the distractors enter the nested galleries that are drawn.
        allow_missing: leave out the listed images that are not there, and mark every figure as partial.
        challenge: 1, or 2 for the lists in the folder `challenge2`.
        set: 1, 2, 3 or `all`: which of the devkit's draws of distractors (the published figures are mostly of set 1).
        fars: false accept rates of the TAR; without them 1e-3 ... 1e-6, with the devkit's lists ... 1e-9.
        depth: the last rank of the CMC, from 10 on, or `all`: the largest gallery's size.
        refined: `exclusion` or `insightface`: what is done about noisy images (`bench.protocols._noise`).
        probe_noises, distractor_noises: the lists of these; None where there is none.
        noise_seed: of what is drawn the insightface way.
        device: where the products are made, see `Megaface`.

    Raises:
        RequestError: a file that is missing or malformed, nobody with two probe images, a person who is both, or lists
            that do not hold what they should.
    """
    draws = _draws(set)
    if _lists.whole("challenge", challenge, 1) > 2:
        raise RequestError(f"challenge is 1 or 2, got {challenge}")
    sizes = None if sizes is None else _probe_lists.checked_sizes(sizes)
    left_out = _lists.people_in(root, exclude) if exclude else frozenset()
    devkit = _is_devkit(root, probes, distractors, images, sizes, draws, challenge)
    from_images = not devkit and images is not None and probes is None and distractors is None
    if devkit:
        lists = _probe_lists.from_devkit(root, probes, distractors, sizes, draws, challenge, left_out)
    elif draws != (1,):
        raise RequestError(f"set={set} needs the devkit's lists of distractors, FILE_<size>_<set>")
    else:
        if from_images and images is not None:
            pair = _probe_lists.split(root, images, left_out, min_images, max_images)
        else:
            pair = _probe_lists.own(root, probes, distractors)
        lists = _probe_lists.in_drawn_galleries(*pair, sizes, seed, challenge, left_out)
    made = _made(lists, fars, depth)
    if refined is not None:
        lines = (_noise_lines(root, probe_noises), _noise_lines(root, distractor_noises))
        noise = _noise.of(refined, lines, made.images, made.probes, _lists.whole("noise_seed", noise_seed, 0))
        made = replace(made, noise=noise, spec={**made.spec, "refined": noise.spec(made.images)})
    made = replace(made, name=lists.name + _refinement(refined) + _draw_name(draws), device=device).checked()
    if from_images:
        return made
    where = "the lists of probes and distractors"
    missing = _lists.absent(made.images, root, images, where, allow_missing)
    return made.without(missing) if missing else made


def _is_devkit(
    root: _lists.Root,
    probes: str | None,
    distractors: str | None,
    images: Sequence[str] | None,
    sizes: Sequence[int] | None,
    draws: tuple[int, ...],
    challenge: int,
) -> bool:
    """Whether the devkit's lists are meant: its probes by name, or its distractors where no others are given."""
    if probes in _devkit_lists.OFFICIAL and distractors is None:
        return True
    others = distractors is None and images is None and _devkit_lists.find(root, "distractors.txt")
    return not others and _probe_lists.is_devkit(root, distractors, sizes, draws, challenge)


def _draws(wanted: int | str) -> tuple[int, ...]:
    if str(wanted) == "all":
        return _devkit_lists.SETS
    if isinstance(wanted, bool) or str(wanted) not in map(str, _devkit_lists.SETS):
        raise RequestError(f"set is 1, 2, 3 or all, got {wanted!r}")
    return (int(wanted),)


def _made(lists: _probe_lists.Lists, fars: Sequence[float] | None, depth: int | str) -> Megaface:
    """The protocol with what is asked of it; what is asked by default is no part of a drawn gallery's specification."""
    usual = FARS if lists.seed is not None else FARS_OF_A_MILLION
    asked = usual if fars is None else _checked_fars(fars)
    last = None if depth == "all" else _lists.whole("depth", depth, max(RANKS))
    spec = dict(lists.spec)
    spec |= {"fars": list(asked)} if asked != FARS or lists.seed is None else {}
    spec |= {"depth": depth} if last != DEPTH else {}
    return Megaface(
        lists.names, lists.people, lists.probes, lists.sets, lists.sizes, lists.seed, spec, lists.name, asked, last
    )


def _checked_fars(fars: Sequence[float]) -> tuple[float, ...]:
    if isinstance(fars, str | float | int) or not fars:
        raise RequestError(f"fars is a list of false accept rates, for example [0.001, 1.0e-6], got {fars!r}")
    for far in fars:
        if isinstance(far, bool) or not isinstance(far, float | int) or not 0 < far < 1:
            raise RequestError(f"a false accept rate lies between 0 and 1, got {far!r}")
    return tuple(sorted({float(far) for far in fars}, reverse=True))


def _noise_lines(root: _lists.Root, file: str | None) -> str:
    return "" if file is None else _devkit_lists.read(root, _devkit_lists.find(root, file) or file)


def _refinement(way: str | None) -> str:
    return {None: "", "exclusion": "-refined"}.get(way, f"-refined_{way}")


def _draw_name(draws: tuple[int, ...]) -> str:
    return "-sets" if len(draws) > 1 else "" if draws == (1,) else f"-set{draws[0]}"
