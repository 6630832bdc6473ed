"""`facebench data align`: pictures and their five landmarks in, aligned crops out, as a folder or a zip; what fails is listed."""

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bench import _crop_files, alignment, landmarks, locks, places
from bench._crop_files import FORMS, Failed
from bench.errors import RequestError
from bench.files import FileImages, Tree, is_image
from bench.images import Unreadable

VERSION = 1  # raise it when the same request would give other pixels


@dataclass(frozen=True)
class Settings:
    """How crops are made; the defaults give what most Python ports give.

    Attributes:
        size: `112x112` or `112x96`, height x width.
        template_base, landmarks_base: what the template's and the file's coordinates count from, 0 or 1: see
            `alignment.template`.
        resample, antialias: see `alignment.crop`.
        form: `png`, or `jpeg`. A crop is a picture that was once compressed; PNG adds no second loss, and the same request
            gives the same pixels whatever JPEG library is installed, for three times the bytes of JPEG at 95.
        quality: of JPEG, whose colours are not subsampled.
    """

    size: str = "112x112"
    template_base: int = 0
    landmarks_base: int = 0
    resample: str = "bilinear"
    antialias: bool = False
    form: str = "png"
    quality: int = 95

    def __post_init__(self) -> None:
        alignment.template(self.size, self.template_base)
        alignment.check_base("landmarks_base", self.landmarks_base)
        if self.resample not in alignment.RESAMPLINGS or self.form not in FORMS:
            raise RequestError(
                f"resample is {' or '.join(alignment.RESAMPLINGS)} and form {' or '.join(FORMS)}, got {self.resample!r} and "
                f"{self.form!r}"
            )
        if isinstance(self.quality, bool) or not isinstance(self.quality, int) or not 1 <= self.quality <= 100:
            raise RequestError(f"quality of JPEG is a whole number from 1 to 100, got {self.quality!r}")


@dataclass(frozen=True)
class Aligned:
    """What came of it.

    Attributes:
        path: the folder or zip.
        images: the crops that lie there now.
        written: those of them that this call wrote; the others were there from the same inputs.
        failed: in the order of the images, then the landmarks without one; also in `failed.csv`.
        order: how the numbers of the landmarks stood in their file.
        residual: the median over the crops of the points' root mean square distance to the template, in pixels.
    """

    path: Path
    images: int
    written: int
    failed: tuple[Failed, ...]
    order: str
    residual: float | None


@dataclass(frozen=True)
class _Job:
    """One crop: the picture, where it goes, how it moves, its points in the picture, and a key of all its inputs."""

    name: str
    target: str
    move: alignment.Similarity
    points: np.ndarray
    key: str


def align(
    paths: Sequence[str | Path],
    points: str | Path | landmarks.Landmarks,
    out: str | Path,
    settings: Settings = Settings(),
    *,
    order: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Aligned:
    """Crop every picture below `paths` that has landmarks, to `out` under its own relative path.

    Each crop is written whole or not at all and carries a key of its inputs (picture, points, settings), so that a second
    call goes on where the first was stopped and redoes what has changed. `aligned.csv` (path, source, scale, degrees,
    residual) and `failed.csv` (path, reason) are written last. A zip is made of the folder `<out>.part` when that is whole.

    Args:
        paths: folders or archives, absolute or relative to `$FACEBENCH_DATA`.
        points: a file of landmarks (see `landmarks.read`), or what was read of one.
        out: a folder, or a `.zip` to be written.
        order: of the numbers in the file, see `landmarks.read`.
        progress: called with (done, total).

    Raises:
        RequestError: no pictures, landmarks that cannot be read or fit to none of them, two pictures of one name, an `out`
            that holds something else, or that another process writes to.
    """
    trees = [Tree(places.data(path)) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    marks = _pictures(trees)
    read = points if isinstance(points, landmarks.Landmarks) else landmarks.read(points, order)
    jobs, failed = _plan(read, marks, settings)
    out = Path(out)
    zipped = out.suffix == ".zip"
    folder = out.with_name(out.name + ".part") if zipped else out
    _apart(out, trees)
    key = _hash([[job.target, job.key] for job in jobs], [asdict(one) for one in failed])
    if zipped and (there := _crop_files.failed_of_zip(out, key)) is not None:
        made = _without(jobs, there)
        return Aligned(out, len(made), 0, tuple(there), read.order, _median(made))
    if folder.is_file():
        raise RequestError(f"{folder} is a file: give a folder, or a name that ends in .zip")
    folder.mkdir(parents=True, exist_ok=True)
    with locks.alone(folder, f"another process writes crops to {out}: wait for it, or stop it first"):
        _clean(folder, {_target(name, settings) for name in marks}, {job.target for job in jobs})
        broken, written = _write(jobs, FileImages([("", tree) for tree in trees]), folder, settings, progress)
        place = {name: row for row, name in enumerate(marks)}
        failed = sorted(failed + broken, key=lambda one: place.get(one.path, len(place)))
        made = _without(jobs, broken)
        _crop_files.write_lists(folder, [(job.target, job.name, job.move) for job in made], failed)
        if zipped:
            _crop_files.pack(folder, [job.target for job in made], out, key)
    if zipped:
        shutil.rmtree(folder)
    return Aligned(out, len(made), written, tuple(failed), read.order, _median(made))


def _without(jobs: Sequence[_Job], failed: Sequence[Failed]) -> list[_Job]:
    lost = {one.path for one in failed}
    return [job for job in jobs if job.name not in lost]


def _median(jobs: Sequence[_Job]) -> float | None:
    return float(np.median([job.move.residual for job in jobs])) if jobs else None


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _target(name: str, settings: Settings) -> str:
    return PurePosixPath(name).with_suffix(FORMS[settings.form]).as_posix()


def _pictures(trees: Sequence[Tree]) -> dict[str, tuple]:
    """Name -> what changes when the picture changes."""
    marks: dict[str, tuple] = {}
    for tree in trees:
        for name, mark in tree.files().items():
            if is_image(name):
                if name in marks:
                    raise RequestError(f"picture {name!r} is in two of the paths: align them one by one")
                marks[name] = mark
    if not marks:
        raise RequestError(f"no pictures in {', '.join(str(tree.path) for tree in trees)}: expected image files")
    return marks


def _plan(read: landmarks.Landmarks, marks: dict[str, tuple], settings: Settings) -> tuple[list[_Job], list[Failed]]:
    """The crops to be made, and what is known to fail before a picture is read."""
    rows = landmarks.match(read, list(marks))
    jobs: dict[str, _Job] = {}
    failed = []
    for name, mark in marks.items():
        target = _target(name, settings)
        if target.startswith("/") or ".." in PurePosixPath(name).parts:
            failed.append(Failed(name, "its path leads out of the folder"))
        elif name not in rows:
            failed.append(Failed(name, "it has no landmarks"))
        elif target in jobs:
            raise RequestError(f"{jobs[target].name!r} and {name!r} would both become {target}: rename one of them")
        else:
            points = read.points[rows[name]] - settings.landmarks_base
            try:
                move = alignment.similarity(points, alignment.template(settings.size, settings.template_base))
            except RequestError as error:
                failed.append(Failed(name, str(error)))
            else:
                key = _hash(VERSION, mark, points.tolist(), asdict(settings))
                jobs[target] = _Job(name, target, move, points, key)
    used = set(rows.values())
    lone = [name for row, name in enumerate(read.names) if row not in used]
    return list(jobs.values()), failed + [Failed(name, "landmarks without a picture") for name in lone]


def _apart(out: Path, trees: Sequence[Tree]) -> None:
    """The crops go neither into the pictures' folder nor around it: names would fall together."""
    for tree in trees:
        here, there = out.resolve(), tree.path.resolve()
        if here == there or there in here.parents or here in there.parents:
            raise RequestError(
                f"crops would be written to {out}, among the pictures of {tree.path}: give another folder"
            )


def _clean(folder: Path, known: set[str], wanted: set[str]) -> None:
    """Of a folder that was begun: its lists go, and the crops of pictures that have lost their landmarks.

    Raises:
        RequestError: there are other images; they would stand among the crops, unseen.
    """
    there = [name for name in Tree(folder).files() if is_image(name)]
    if strange := [name for name in there if name not in known or not _crop_files.key_of(folder / name)]:
        raise RequestError(f"{folder} holds {strange[0]!r}, which is no crop of these pictures: give an empty folder")
    _crop_files.forget_lists(folder)
    for name in there:
        if name not in wanted:
            (folder / name).unlink()


def _write(
    jobs: Sequence[_Job], source: FileImages, folder: Path, settings: Settings, progress: Callable | None
) -> tuple[list[Failed], int]:
    """The pictures that could not be cropped, and how many crops were written; decoding goes on while others are encoded."""
    waiting: deque[tuple[_Job, Future]] = deque()
    broken: list[Failed] = []
    missing = [job for job in jobs if _crop_files.key_of(folder / job.target) != job.key]
    done = len(jobs) - len(missing)
    pool = ThreadPoolExecutor(os.cpu_count() or 1)

    def finish() -> None:
        job, future = waiting.popleft()
        if reason := future.result():
            (folder / job.target).unlink(missing_ok=True)  # a crop of an earlier request
            broken.append(Failed(job.name, reason))

    try:
        for job, image in zip(missing, source.images([job.name for job in missing]), strict=True):
            waiting.append((job, pool.submit(_crop, job, image, folder / job.target, settings)))
            if len(waiting) > 4 * (os.cpu_count() or 1):
                finish()
            done += 1
            if progress:
                progress(done, len(jobs))
        while waiting:
            finish()
    finally:
        pool.shutdown(cancel_futures=True)
    return broken, len(missing) - len(broken)


def _crop(job: _Job, image: np.ndarray | Unreadable, path: Path, settings: Settings) -> str:
    """Write the crop; the reason why not, or nothing."""
    from PIL import Image

    if isinstance(image, Unreadable):
        return f"it cannot be read: {image.reason}"
    middle, (height, width) = job.points.mean(0), image.shape[:2]
    if not (-0.5 <= middle[0] < width and -0.5 <= middle[1] < height):
        where = f"({middle[0]:.0f}, {middle[1]:.0f})"
        return f"its landmarks lie about {where}, outside its {width} x {height} pixels: are they another picture's?"
    made = alignment.crop(image, job.move, settings.size, settings.resample, settings.antialias)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(_crop_files.encoded(Image.fromarray(made), job.key, settings.form, settings.quality))
    part.replace(path)
    return ""
