"""The end of a trial: the embeddings of all that is scored or kept, and their scores."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench import decontamination, development, scorers, scoring
from bench.embed import embed
from bench.errors import RequestError, TrialFailed
from bench.material import Material
from bench.plain import Trial
from bench.scores import Scores
from bench.train import Fit

KEPT = ("features", "embeddings")


class Examination:
    """What a trained network scores.

    Attributes:
        metrics: all test figures, flat.
        scores: per protocol (and `closed`) its plain form.
        raw: the arrays that are kept, `protocol/what`, `features/what` and `embeddings/what`.
    """

    def __init__(self, trial: Trial, material: Material, work: Fit):
        self.trial = trial
        self.material = material
        self.work = work
        self.metrics: dict[str, float] = {}
        self.scores: dict[str, dict[str, Any]] = {}
        self.raw: dict[str, np.ndarray] = {}
        self._examine()
        # Tuning sees no test, and this one is a test too.
        if trial.stage != "tune" and (len(material.closed) or "features" in trial.keep):
            self._closed()

    def _examine(self) -> None:
        trial, material = self.trial, self.material
        keep = "embeddings" in trial.keep
        train = np.empty((0, 0), np.float32)
        if keep or (material.exams and scorers.needs_fit(trial.scorer, trial.scorer_options)):
            train = self._embed(material.pixels.array[material.train], trial.flip)
        if keep:
            self.raw |= {"embeddings/train": train, "embeddings/train_labels": material.train_labels}
        if not material.exams:
            return
        scorer = scorers.fit(trial.scorer, trial.scorer_options, train, material.train_labels)
        frozen = self._frozen(scorer)
        clean = None
        if any(exam.overlap.get("verdict") == "unknown" for exam in material.exams):
            everyone = material.pixels.array
            clean = decontamination.prepared(
                lambda rows: self._embed(everyone[material.train[rows]], trial.flip), material.train_labels
            )
        for exam in material.exams:
            embeddings = self._embed(exam.pixels.array, trial.flip)
            answer = scored(exam.protocol, embeddings, scorer)
            listed = "left_out" in exam.protocol.spec  # by its user, who knows better
            if clean and exam.overlap.get("verdict") == "unknown" and not listed:
                clean.enter(answer, exam.protocol, embeddings, scorer)
            known = frozen if frozen and development.enter(answer, exam.protocol, frozen) else None
            self._enter(answer, exam.protocol, exam.overlap, scorer, known)
            if keep:
                self.raw[f"embeddings/{exam.protocol.name}"] = embeddings

    def _frozen(self, scorer: scorers.Scorer) -> development.Frozen | None:
        """The thresholds that the held-out people set; None where nobody is held out."""
        if (held := self.material.development()) is None:
            return None
        embeddings = self._embed(self.material.pixels.array[self.material.develop], self.trial.flip)
        raw = scored(held, embeddings, scorer).raw
        return development.freeze(raw["scores"], raw["same"], f"{held.name} {held.hash}")

    def _closed(self) -> None:
        """The closed-set test, on the features as the loss saw them: no mirror image."""
        material, criterion = self.material, self.work.criterion
        train = self._embed(material.pixels.array[material.train], "none")
        if "features" in self.trial.keep:
            self.raw |= {"features/train": train, "features/train_labels": material.train_labels}
            for name in ("weight", "bias", "centers"):
                if (value := getattr(criterion, name, None)) is not None:
                    self.raw[f"features/{name}"] = value.detach().float().cpu().numpy()
        if not len(material.closed):
            return
        test = self._embed(material.pixels.array[material.closed], "none")
        closed = material.closed_test()
        if "features" in self.trial.keep:
            self.raw |= {"features/test": test, "features/test_labels": closed.labels}
        self._enter(closed.score(test, train, material.train_labels, self._logits(test)), closed)

    @torch.inference_mode()
    def _logits(self, features: np.ndarray) -> np.ndarray | None:
        """The class scores; None where the loss has none."""
        logits: Callable[[torch.Tensor], torch.Tensor] | None = getattr(self.work.criterion, "logits", None)
        if logits is None:
            return None
        return logits(torch.from_numpy(features).to(self.work.device.device)).cpu().numpy()

    def _embed(self, images: np.ndarray, flip: str) -> np.ndarray:
        return embed(self.work.network, images, self.work.device, flip)

    def _enter(
        self,
        answer: Scores,
        protocol: Any,
        overlap: dict[str, str] | None = None,
        scorer: scorers.Scorer | None = None,
        frozen: development.Frozen | None = None,
    ) -> None:
        self.metrics |= answer.metrics
        self.scores[protocol.name] = scoring.plain(answer, protocol, overlap, scorer, frozen)
        self.raw |= scoring.raw(answer, protocol)


def scored(protocol: Any, embeddings: np.ndarray, scorer: scorers.Scorer | None = None) -> Scores:
    """The protocol's answer to a network's embeddings.

    Raises:
        TrialFailed: they cannot be scored (the network maps an image to zero, say): the training is to blame.
    """
    try:
        return protocol.score(embeddings, scorer)
    except RequestError as error:
        raise TrialFailed(f"the network's embeddings cannot be scored: {error}") from error


def check(trial: Trial) -> None:
    """What a trial asks of its examination.

    Raises:
        RequestError: it would keep what there is not, or a scorer or one of its options is unknown.
    """
    if unknown := sorted(set(trial.keep) - set(KEPT)):
        raise RequestError(f"keep takes {', '.join(KEPT)}, got {unknown[0]!r}")
    scorers.check(trial.scorer, trial.scorer_options)


def check_material(trial: Trial, material: Material) -> None:
    """Whether the scorer can be fitted on these training images, before an hour of training and not after it.

    Raises:
        RequestError: more principal components than there are images or dimensions, or no identity with two images.
    """
    width = trial.embedding_dim * (2 if trial.flip == "concat" else 1)
    scorers.check_training(trial.scorer, trial.scorer_options, material.train_labels, width)
