"""IJB-B and IJB-C: 1:1 verification of templates, and 1:N search of two galleries (Whitelam 2017; Maze, ICB 2018).

Metrics: `ijbc/tar_at_far_1e-1` ... `1e-6`, `auc`, `eer`; `rank1`, `rank5`, `rank10`, `dir_at_fpir_1e-1`, `1e-2` (the mean
over both galleries; each gallery's own `rank1_g1` ..., and `rank1_joined` for one gallery of all subjects). `ijbb/...` for
IJB-B, `ijbc-detector/...`, `ijbc-image_mean/...` where templates are made in another way. `tar_at_far_1e-6_nearest` is
insightface's rule (the nearest point of the ROC), where it differs; `rank1_optimistic` lets ties win, where it differs.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench import waiting
from bench.errors import RequestError
from bench.metrics import cosine, listed, person_clusters
from bench.metrics.quadratic import Quadratic
from bench.metrics.searches import search_galleries
from bench.metrics.similarity import Rows
from bench.metrics.templates import Layout, aggregate
from bench.protocols import _ijb_figures, _ijb_lists, _ijb_templates, _lists, _pairs, _partial
from bench.protocols._ijb_templates import Templates
from bench.scorers import COSINE, Scorer
from bench.scores import Scores

AGGREGATIONS = ("media_mean", "image_mean")
WEIGHTS = ("none", "detector", "norm", "norm-detector")
OFFICIAL = {  # what insightface's release and the papers count
    "B": {"images": 227_630, "templates": 12_115, "genuine": 10_270, "impostor": 8_000_000, "probes": 10_270},
    "C": {"images": 469_375, "templates": 23_124, "genuine": 19_557, "impostor": 15_638_932, "probes": 19_593},
}
DEFAULTS = ("media_mean", "none")
_NOT_ENROLLED = -2
_COUNTED = 1 << 24  # places times clusters of the jackknife's counts: 128 MB
PAIRS_ALONE = "one_to_n=False to score the pairs alone"


@dataclass(frozen=True, eq=False)
class Ijb:
    """Templates compared and searched; see `bench.protocols.Comparisons`.

    Attributes:
        templates: what the lists say.
        aggregation: `media_mean` (the images of a medium are averaged, then the media; a sum over media has the same
            direction), or `image_mean` (all images alike).
        weight: of an image in its template: `none` (each has length 1), `norm` (its embedding's own length), `detector` (its
            detector's score), `norm-detector` (both: the default of insightface's script, N1D1). Scorers other than the
            cosine take embeddings as long as they are, and score the average as if it were one image.
    """

    name: str
    templates: Templates = field(repr=False)
    aggregation: str
    weight: str
    spec: dict[str, Any]

    @property
    def images(self) -> tuple[str, ...]:
        return self.templates.images

    @cached_property
    def people(self) -> tuple[str, ...]:
        return self.templates.people

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        return _ijb_figures.primary(self.name, len(self.templates.impostor))

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """TAR at FAR 0.1 ... 1e-6, AUC and EER over the listed pairs; rank-k and DIR at FPIR 0.1 and 0.01 over the galleries.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        rows = self._rows(_pairs.checked(embeddings, self.images, self.name, scorer), scorer or COSINE)
        answer = self._verification(rows)
        if self.templates.galleries:
            answer = _pairs.joined(answer, self._identification(rows))
        answer.counts.update({**self.templates.counts, "media": len(self._layout.media) - 1})
        return _partial.marked(answer, self.spec)

    def without(self, missing: Collection[str]) -> "Ijb":
        """See `bench.protocols.Comparisons`. A template without any of its images left is missing too."""
        keep = _partial.kept(self.name, self.images, missing)
        templates, spec = self.templates.without(keep, self.spec, missing)
        return replace(self, templates=templates, spec=spec)

    def _rows(self, array: np.ndarray, scorer: Scorer) -> Rows:
        """The templates, as rows that are scored."""
        rows, layout = scorer.prepare(array), self._layout
        weights = self.templates.detector if self.weight.endswith("detector") else None
        if isinstance(rows, Quadratic):
            vectors = rows.vectors
            return Quadratic.of(aggregate(lambda part: vectors[part], layout, weights), rows.rate, rows.constant)
        if not isinstance(rows, cosine.Vectors):
            raise TypeError(f"templates are not made of {type(rows).__name__}")
        images = rows.unit
        if self.weight.startswith("norm"):
            mapped = array if scorer.pca is None else scorer.pca(array)
            images = _shortened(mapped)
        return cosine.prepared(aggregate(images, layout, weights))

    @cached_property
    def _layout(self) -> Layout:
        of = self.templates
        medium = np.arange(len(of.template)) if self.aggregation == "image_mean" else of.medium
        return Layout.of(of.template, medium, len(of.subject))

    @cached_property
    def _cluster(self) -> np.ndarray:
        """(T,) the cluster of subjects that the jackknife leaves out together: 100, or fewer of millions of genuine pairs."""
        of = self.templates
        at_most = int(np.clip(_COUNTED // (2 * len(of.genuine) + 1), 10, 100))
        weight = {number: count for number, count in enumerate(np.bincount(of.subject).tolist()) if count}
        cluster = person_clusters(weight, at_most)
        return np.array([cluster.get(number, -1) for number in range(len(of.subjects))])[of.subject]

    @cached_property
    def _blocks(self) -> listed.Blocks:
        of = self.templates
        return listed.Blocks.of(of.impostor[:, 0], of.impostor[:, 1], len(of.subject), self._cluster)

    def _verification(self, rows: Rows) -> Scores:
        first, second = self.templates.genuine.T
        with waiting.bar(f"{self.name}: pairs") as advance:
            counts, scores = listed.count(rows, (first, second), self._blocks, self._cluster, advance)
        answer = _ijb_figures.verification(self.name, counts)
        answer.raw["genuine_scores"] = scores
        return answer

    def _identification(self, rows: Rows) -> Scores:
        of = self.templates
        mates = np.full(len(of.probes), -1)
        galleries = []
        for label, gallery in of.galleries.items():
            mate = np.full(len(of.subjects), _NOT_ENROLLED)
            mate[gallery.subjects] = gallery.templates
            found = mate[of.subject[of.probes]]
            mated, others = np.flatnonzero(found >= 0), np.flatnonzero(found == _NOT_ENROLLED)
            mates[mated] = found[mated]
            galleries.append(_ijb_figures.Gallery(label, len(gallery.present), mated, others))
        enrolled = [gallery.present for gallery in of.galleries.values()]
        with waiting.bar(f"{self.name}: searches") as advance:
            answers = search_galleries(rows, of.probes, mates, enrolled, advance)
        answer = _ijb_figures.identification(
            self.name, answers, galleries, of.subject[of.probes], self._cluster[of.probes]
        )
        first_image = np.unique(of.template, return_index=True)[1]  # that stands for its template
        answer.raw["probe"] = first_image[of.probes[np.concatenate([gallery.mated for gallery in galleries])]]
        return answer


def load(
    root: _lists.Root,
    *,
    set: str | None = None,
    aggregation: str = "media_mean",
    weight: str = "none",
    one_to_n: bool = True,
    images: Sequence[str] | None = None,
    allow_missing: bool = False,
) -> Ijb:
    """IJB-B or IJB-C from the lists of insightface's release.

    `ijbc_face_tid_mid.txt` (an image, its template, its medium), `ijbc_template_pair_label.txt`, of 1:N NIST's
    `ijbc_1N_gallery_G1.csv`, `..._G2.csv` and `ijbc_1N_probe_mixed.csv` (of IJB-B `S1` and `S2`), of detector scores
    `ijbc_name_5pts_score.txt`. Row i of the embeddings is line i of the first: a crop of `loose_crop`, aligned by the points of
    the last (insightface adds the embedding of its mirror image: add them before you save).

    The subject of a template is the 1:N lists'; without these, templates that genuine pairs connect are one subject's, which
    splits a subject whose templates no pair connects.

    Args:
        root: the folder that holds the lists, or their `meta`, or `IJBC/meta`; or a mapping of file name -> text.
        set: `B` or `C` (the letter in the lists' names); without it that of the lists that are there. Of B and C the official
            counts are asserted.
        aggregation, weight: how images become a template, see `Ijb`.
        one_to_n: whether the galleries are searched too.
        images: folders or archives that hold the crops.
        allow_missing: leave out the listed images that are not there, and mark every figure as partial.

    Raises:
        RequestError: a file that is missing or malformed (with its line number), lists that contradict each other, or other
            counts than the official ones.
    """
    _chosen("aggregation", aggregation, AGGREGATIONS)
    _chosen("weight", weight, WEIGHTS)
    letter = _letter(root, set)
    used = {"templates": _ijb_lists.found(root, letter, "face_tid_mid.txt")}
    listing = _ijb_lists.images(used["templates"])
    detector = None
    if weight.endswith("detector"):
        used["detector"] = _ijb_lists.found(root, letter, "name_5pts_score.txt", "another weight")
        detector = _ijb_lists.detector_scores(used["detector"], listing.names)
    used["pairs"] = _ijb_lists.found(root, letter, "template_pair_label.txt")
    galleries, probes = _searched(root, letter, used) if one_to_n else ({}, {})
    templates = _ijb_templates.made(
        listing,
        used["templates"].file,
        detector,
        _ijb_lists.pairs(used["pairs"]),
        used["pairs"].file,
        galleries,
        probes,
    )
    _assert_official(letter, templates.counts)
    label = "-".join([f"ijb{letter.lower()}", *(word for word in (aggregation, weight) if word not in DEFAULTS)])
    spec: dict[str, Any] = {"protocol": "ijb", "version": 1, "label": label, "score": "cosine", "set": letter}
    spec |= {"aggregation": aggregation, "weight": weight, "lists": {what: file.sha256 for what, file in used.items()}}
    made = Ijb(label, templates, aggregation, weight, spec)
    missing = _lists.absent(templates.images, root, images, used["templates"].file, allow_missing)
    return made.without(missing) if missing else made


def _chosen(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise RequestError(f"no {option} {value!r} in ijb; there is: {', '.join(known)}")


def _letter(root: _lists.Root, wanted: str | None) -> str:
    """The set's letter."""
    if wanted is not None:
        if not (isinstance(wanted, str) and len(wanted) == 1 and wanted.isascii() and wanted.isalnum()):
            raise RequestError(f"set is the letter of an IJB set, B or C, got {wanted!r}")
        return wanted.upper()
    known = _ijb_lists.sets(root)
    if len(known) == 1:
        return known[0]
    if known:
        raise RequestError(f"there are lists of IJB-{' and IJB-'.join(known)}: say which with set={known[0]}, say")
    raise RequestError(
        "no list ijbb_face_tid_mid.txt or ijbc_face_tid_mid.txt in the protocol's root, in its meta or in its IJBC/meta: give "
        "the folder of insightface's IJB release as root"
    )


def _searched(
    root: _lists.Root, letter: str, used: dict[str, _ijb_lists.Found]
) -> tuple[dict[str, dict[int, str]], dict[int, str]]:
    """Template -> subject of each gallery and of the probes; the lists are added to `used`."""
    kind = "S" if letter == "B" or _ijb_lists.there(root, letter, "1N_gallery_S1.csv") else "G"
    for number in (1, 2):
        name = f"1N_gallery_{kind}{number}.csv"
        used[f"{kind}{number}".lower()] = _ijb_lists.found(root, letter, name, PAIRS_ALONE)
    used["probes"] = _ijb_lists.found(root, letter, "1N_probe_mixed.csv", PAIRS_ALONE)
    owners = {f"{kind}{number}".lower(): _ijb_lists.subjects(used[f"{kind}{number}".lower()]) for number in (1, 2)}
    return owners, _ijb_lists.subjects(used["probes"])


def _assert_official(letter: str, counts: dict[str, int]) -> None:
    for what, official in OFFICIAL.get(letter, {}).items():
        if counts.get(what, official) != official:
            raise RequestError(
                f"IJB-{letter} has {official:,} {what}, these lists have {counts[what]:,}: give the whole lists (lists of your "
                "own need another letter than B and C in their names)"
            )


def _shortened(array: np.ndarray) -> Any:
    """Rows in float64 whose lengths keep their proportions, and whose squares do not overflow."""
    largest = max(float(np.abs(array).max()), np.finfo(np.float64).tiny)
    return lambda part: array[part].astype(np.float64) / largest
