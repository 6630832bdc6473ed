"""BLUFR: verification and open-set identification on all of LFW in ten trials (Liao, Lei, Yi, Li, IJCB 2014).

Metrics: `lfw-blufr/vr_at_far_1e-3` and `lfw-blufr/dir_at_far_1e-2_rank1`, the mean over the trials less their standard
deviation (mu - sigma, ddof 1, as the toolkit reports; 0 where that is negative), with `..._mean` and `..._std` beside each.
Lists that were made here, not the toolkit's, are named `lfw-blufr_generated/...`: their figures are not comparable.

The trials share people: their spread is no standard error. The clusters are those of a jackknife over people.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import Rate, Shares, far_name, person_clusters
from bench.metrics.open_set import carried
from bench.protocols import _blufr_lists, _blufr_trials, _lfw_pairs, _lists, _pairs, _partial
from bench.protocols._blufr_lists import Trial
from bench.scorers import Scorer
from bench.scores import Clusters, Scores

VR_FARS = (1e-3, 1e-4, 1e-5)
DIR_FARS = (1e-1, 1e-2)


@dataclass(frozen=True, eq=False)
class LfwBlufr:
    """Ten trials; see `bench.protocols.Comparisons`.

    Verification: all pairs of a trial's test images; VR is the share of genuine pairs at the smallest threshold whose FAR
    is at most the asked one. Identification: a probe whose person is in the gallery is right iff its mate scores higher
    than every other gallery image (ties lose) and reaches the smallest threshold that at most the share FAR of the other
    probes reach with any gallery image. (The toolkit rounds the number of false accepts, and lets ties in.)

    Attributes:
        trials: rows of `images`.
    """

    name: str
    images: tuple[str, ...] = field(repr=False)
    people: tuple[str, ...] = field(repr=False)
    trials: tuple[Trial, ...] = field(repr=False)
    spec: dict[str, Any]
    depth: int = 2

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        return f"{self.name}/vr_at_far_{far_name(VR_FARS[0])}"

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """VR at FAR 1e-3, 1e-4 and 1e-5, and DIR at FAR 0.1 and 0.01 at rank 1.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        rows = _pairs.prepared(embeddings, self.images, self.name, scorer)
        answer = Scores({}, counts=self._counts)
        genuine, probes = self._whose
        found = _blufr_trials.verification(rows, self._people, self.trials, VR_FARS, self.name)
        for far, values in found.items():
            rates = [carried(far, n, "impostor pairs") for n in self._people.impostors(self.trials)]
            self._enter(answer, f"vr_at_far_{far_name(far)}", values, rates, genuine)
        found = _blufr_trials.identification(rows, self._people, self.trials, DIR_FARS)
        for far, values in found.items():
            strangers = [len(t.probes) - n for t, n in zip(self.trials, self._mated, strict=True)]
            rates = [carried(far, n, "probes without a mate in the gallery") for n in strangers]
            self._enter(answer, f"dir_at_far_{far_name(far)}_rank1", values, rates, probes)
        return _partial.marked(answer, self.spec)

    def without(self, missing: Collection[str]) -> "LfwBlufr":
        """See `bench.protocols.Comparisons`. A person whose gallery image is missing is left out of identification."""
        keep = _partial.kept(self.name, self.images, missing)
        place = np.cumsum(keep) - 1
        owner = self._people.owner
        trials = []
        for trial in self.trials:
            lost = owner[trial.gallery[~keep[trial.gallery]]]
            probes = trial.probes[keep[trial.probes] & ~np.isin(owner[trial.probes], lost)]
            left = [place[rows[keep[rows]]] for rows in (trial.test, trial.gallery, probes)]
            if not all(map(len, left)):
                raise RequestError(
                    f"a trial of {self.name} loses its gallery or its probes: nothing is left to be scored"
                )
            trials.append(Trial(*left))
        images, people = _partial.chosen(self.images, keep), _partial.chosen(self.people, keep)
        spec = _partial.lacking(self.spec, "images", missing, len(keep))
        return replace(self, images=images, people=people, trials=tuple(trials), spec=spec)._checked()

    def _checked(self) -> "LfwBlufr":
        """Itself.

        Raises:
            RequestError: a trial without genuine or impostor pairs.
        """
        pairs = zip(self._people.genuine(self.trials), self._people.impostors(self.trials), self._mated, strict=True)
        for number, (genuine, impostor, mated) in enumerate(pairs, 1):
            if not genuine or not impostor or not mated:
                raise RequestError(
                    f"trial {number} of {self.name} has {genuine} genuine and {impostor} impostor pairs and {mated} probes "
                    "with a mate: all are needed"
                )
        return self

    @cached_property
    def _people(self) -> _blufr_trials.People:
        owner = np.unique(np.array(self.people), return_inverse=True)[1]
        group = person_clusters(dict(enumerate(np.bincount(owner).tolist())))
        return _blufr_trials.People(owner, np.array([group[person] for person in range(len(group))])[owner])

    @cached_property
    def _mated(self) -> list[int]:
        """How many probes of each trial have a mate."""
        owner = self._people.owner
        return [int(np.isin(owner[trial.probes], owner[trial.gallery]).sum()) for trial in self.trials]

    @cached_property
    def _shares(self) -> list[tuple[Shares, Shares]]:
        """Whose figures they are: for each trial the shares of its genuine pairs, and of its mated probes."""
        owner, found = self._people.owner, []
        for trial in self.trials:
            sizes = np.bincount(owner[trial.test])
            probes = owner[trial.probes]
            pairs = np.repeat(np.arange(len(sizes)), sizes * (sizes - 1) // 2)
            found.append((Shares.of(pairs), Shares.of(probes[np.isin(probes, owner[trial.gallery])])))
        return found

    @property
    def _whose(self) -> list[str | None]:
        """Why verification, and identification, are the figures of a few people; None where they are not."""
        words: list[str | None] = []
        for part, what in enumerate(("genuine pairs", "probes with a mate")):
            least = min((shares[part] for shares in self._shares), key=lambda share: share.effective)
            few = f"{least.effective:.1f} effective identities in the {what} of a trial, the largest has {least.largest:.1%}"
            words.append(few if least.mark() else None)
        return words

    @cached_property
    def _counts(self) -> dict[str, float]:
        """Means over the trials, as the paper gives them."""
        genuine, impostor = self._people.genuine(self.trials), self._people.impostors(self.trials)
        means: dict[str, Sequence[float]] = {
            "test_images": [len(trial.test) for trial in self.trials],
            "genuine": genuine,
            "impostor": impostor,
            "gallery": [len(trial.gallery) for trial in self.trials],
            "genuine_probes": self._mated,
            "impostor_probes": [len(trial.probes) - n for trial, n in zip(self.trials, self._mated, strict=True)],
        }
        for part, what in enumerate(("pairs", "probes")):
            means[f"effective_identities_of_{what}"] = [shares[part].effective for shares in self._shares]
        counts = {"images": len(self.images), "people": len(set(self.people)), "trials": len(self.trials)}
        return {**counts, **{what: float(np.mean(numbers)) for what, numbers in means.items()}}

    def _enter(self, answer: Scores, figure: str, values: np.ndarray, rates: Sequence[Rate], whose: str | None) -> None:
        """mu - sigma of (trials, 1 + G) values (of all people, and without each cluster), mu and sigma; or why not."""
        key = f"{self.name}/{figure}"
        if lacking := [rate.undefined for rate in rates if rate.undefined]:
            answer.undefined[key] = f"{lacking[0]} of a trial"
            return
        mean, spread = values.mean(axis=0), np.zeros(values.shape[1])
        if len(values) > 1:
            spread = values.std(axis=0, ddof=1)
        figures = {key: np.maximum(mean - spread, 0.0), f"{key}_mean": mean, f"{key}_std": spread}
        marks = [words for words in (next((rate.mark for rate in rates if rate.mark), None), whose) if words]
        for one, found in figures.items():
            answer.metrics[one] = float(found[0])
            if marks:
                answer.marks[one] = "; ".join(marks)
            if values.shape[1] > 2:
                answer.clusters[one] = Clusters("jackknife", tuple(found[1:].tolist()))
        answer.raw[figure] = values[:, 0]


def load(
    root: _lists.Root,
    *,
    lists: str | None = None,
    images: Sequence[str] | None = None,
    names: str = "lfw-names.txt",
    seed: int = 0,
    trials: int = 10,
    train_people: int = 1_500,
    gallery_people: int = 1_000,
    allow_missing: bool = False,
) -> LfwBlufr:
    """BLUFR from the toolkit's lists, or from lists made by the same rule.

    Args:
        root: the folder of the lists, or a mapping of file name -> text.
        lists: the toolkit's `blufr_lfw_config.mat`, a folder of its text files (`list/lfw`), or `generated`. Default:
            whichever of the first two is in `root`.
        images: folders or archives that must hold every image (any suffix).
        names: of generated lists without `images`: LFW's file with a line `NAME number-of-images` a person.
        seed, trials, train_people, gallery_people: of generated lists: what is drawn, and how much (Liao et al., Sec. 3.1).
        allow_missing: leave out the images that are not there, and mark every figure as partial.

    Raises:
        RequestError: a file that is missing or malformed, images that are missing, or too few people.
    """
    label, made = "lfw-blufr", lists == "generated"
    sizes = {"seed": _lists.whole("seed", seed, 0), "trials": _lists.whole("trials", trials, 1)}
    sizes |= {"train_people": _lists.whole("train_people", train_people, 0)}
    sizes |= {"gallery_people": _lists.whole("gallery_people", gallery_people, 1)}
    if made:
        label = "lfw-blufr_generated"
        found = _blufr_lists.generated(_every_image(root, images, names), *sizes.values())
    else:
        found = _blufr_lists.read(root, lists)
    located, missing = _lfw_pairs.located(found.images, root, images, allow_missing, "BLUFR's lists")
    people = _lists.people(located, "BLUFR's lists")
    spec: dict[str, Any] = {"protocol": "lfw_blufr", "version": 1, "label": label, "score": "cosine"}
    spec |= {"lists": "generated", **sizes} if made else {"lists": "given"}
    spec["images"] = _lists.sha256(located)
    rows = [
        ",".join(map(str, side.tolist())) for trial in found.trials for side in (trial.gallery, np.sort(trial.probes))
    ]
    spec["trials"] = _lists.sha256(rows)
    blufr = LfwBlufr(label, tuple(located), people, found.trials, spec)._checked()
    return blufr.without(missing) if missing else blufr


def _every_image(root: _lists.Root, images: Sequence[str | Path] | None, names: str) -> tuple[str, ...]:
    """All of LFW: what the folders or archives hold, or what the list of names says."""
    if images is not None:
        return tuple("/".join(name.split("/")[-2:]) for name in _lists.images(root, images))
    people = _lfw_pairs.parse_names(_lists.read(root, names, instead="images=[...]"), names)
    return tuple(f"{name}/{name}_{number:04d}.jpg" for name, count in people.items() for number in range(1, count + 1))
