"""Aligned crops of a tree of pictures: what is written, resumed, redone, refused and listed."""

import csv
import multiprocessing
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_up_album import PEOPLE, POINTS, drawn, listed, peak
from PIL import Image

from bench import crops, datasets, landmarks
from bench.alignment import TEMPLATE
from bench.crops import Settings, align
from bench.errors import RequestError

DATA = Path(os.environ.get("FACEBENCH_DATA") or Path(__file__).parents[1] / "../shared/data").resolve()


@pytest.fixture
def album(tmp_path):
    """Three pictures with landmarks, one without, one that is broken, one set of landmarks too many."""
    root = tmp_path / "album"
    for name, points in POINTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn(points)).save(root / name, quality=95)
    (root / "Cy").mkdir()
    Image.fromarray(drawn(TEMPLATE)).save(root / "Cy/no landmarks.png")
    (root / "Cy/broken.jpg").write_bytes((root / PEOPLE[0]).read_bytes()[:500])
    points = POINTS | {"Cy/broken.jpg": TEMPLATE, "Nobody/1.jpg": TEMPLATE}
    return root, listed(points, tmp_path / "points.csv")


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("size", "cut"), [("112x112", 0), ("112x96", 8)])
def test_the_landmarks_of_every_crop_lie_on_the_template(album, tmp_path, size, cut):
    root, points = album
    made = align([root], points, tmp_path / "out", Settings(size=size))
    assert (made.images, made.written, made.order) == (3, 3, "xyxy") and made.residual < 1e-3
    for name in PEOPLE:
        with Image.open(tmp_path / "out" / name.replace(".jpg", ".png")) as picture:
            crop = np.asarray(picture)
        assert crop.shape == (112, int(size.split("x")[1]), 3)
        for point in TEMPLATE - (cut, 0):
            assert np.abs(peak(crop[:, :, 0], point) - point).max() < 0.25


def test_everything_that_failed_is_listed(album, tmp_path):
    root, points = album
    made = align([root], points, tmp_path / "out")
    said = {one.path: one.reason for one in made.failed}
    assert list(said) == ["Cy/broken.jpg", "Cy/no landmarks.png", "Nobody/1.jpg"]
    assert (
        said["Cy/broken.jpg"].startswith("it cannot be read: ") and said["Cy/no landmarks.png"] == "it has no landmarks"
    )
    assert said["Nobody/1.jpg"] == "landmarks without a picture"
    assert [(row["path"], row["reason"]) for row in table(tmp_path / "out/failed.csv")] == list(said.items())
    rows = table(tmp_path / "out/aligned.csv")
    assert [row["source"] for row in rows] == list(PEOPLE) and rows[0]["path"] == "Ann/1.png"
    assert float(rows[2]["degrees"]) == pytest.approx(-20, abs=0.01), "turned back"
    assert float(rows[1]["scale"]) == pytest.approx(1, abs=1e-4)
    crops_ = [name.replace(".jpg", ".png") for name in PEOPLE]
    assert files(tmp_path / "out") == sorted([*crops_, "aligned.csv", "failed.csv"])
    assert len(datasets.load("folder", paths=[str(tmp_path / "out")]).names) == 3


def test_mirrored_and_foreign_landmarks_fail_alone(album, tmp_path):
    root, _ = album
    points = {PEOPLE[0]: POINTS[PEOPLE[0]][[1, 0, 2, 4, 3]], PEOPLE[1]: TEMPLATE + 300, PEOPLE[2]: POINTS[PEOPLE[2]]}
    made = align(root, listed(points, tmp_path / "p.csv"), tmp_path / "out")
    reasons = {one.path: one.reason for one in made.failed}
    assert "mirrored" in reasons[PEOPLE[0]] and "outside its 200 x 200 pixels" in reasons[PEOPLE[1]]
    assert (made.images, made.written) == (1, 1)


def test_a_second_call_writes_nothing_and_a_change_only_what_it_concerns(album, tmp_path):
    root, points = album
    out = tmp_path / "out"
    align([root], points, out)
    before = {name: (out / name).stat().st_mtime_ns for name in files(out) if name.endswith(".png")}
    again = align([root], points, out)
    assert (again.images, again.written, len(again.failed)) == (3, 0, 3)
    assert before == {name: (out / name).stat().st_mtime_ns for name in before}
    (out / "Ann/1.png").unlink()
    assert align([root], points, out).written == 1
    Image.fromarray(drawn(POINTS[PEOPLE[1]] + 1)).save(root / PEOPLE[1])
    assert align([root], points, out).written == 1
    nudged = listed(POINTS | {PEOPLE[2]: POINTS[PEOPLE[2]] + 0.5}, points)
    assert align([root], nudged, out).written == 1
    assert align([root], nudged, out, Settings(resample="bicubic")).written == 3
    fewer = listed({PEOPLE[1]: POINTS[PEOPLE[1]], PEOPLE[2]: POINTS[PEOPLE[2]] + 0.5}, points)
    less = align([root], fewer, out, Settings(resample="bicubic"))
    assert (less.images, less.written) == (2, 0) and not (out / "Ann/1.png").exists(), "made of landmarks that are gone"


def test_what_was_stopped_goes_on(album, tmp_path, monkeypatch):
    root, points = album
    out, real, calls = tmp_path / "out", crops._crop, []

    def dies(job, *rest):
        calls.append(job.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(job, *rest)

    monkeypatch.setattr(crops, "_crop", dies)
    with pytest.raises(KeyboardInterrupt):
        align([root], points, out)
    assert not (out / "aligned.csv").exists(), "an unfinished folder has no lists"
    there = len([name for name in files(out) if name.endswith(".png")])
    monkeypatch.setattr(crops, "_crop", real)
    made = align([root], points, out)
    assert made.images == 3 and made.written == 3 - there and (out / "aligned.csv").exists()


def test_a_zip_holds_the_same_and_is_recognised(album, tmp_path):
    root, points = album
    align([root], points, tmp_path / "out")
    made = align([root], points, tmp_path / "out.zip")
    assert (made.path, made.images, made.written) == (tmp_path / "out.zip", 3, 3)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert sorted(archive.namelist()) == files(tmp_path / "out")
        assert all(archive.read(name) == (tmp_path / "out" / name).read_bytes() for name in archive.namelist())
    assert not (tmp_path / "out.zip.part").exists()
    content = (tmp_path / "out.zip").read_bytes()
    again = align([root], points, tmp_path / "out.zip")
    assert (again.images, again.written) == (3, 0) and again.failed == made.failed and again.residual == made.residual
    align([root], points, tmp_path / "other.zip")
    assert (tmp_path / "other.zip").read_bytes() == content, "the same request, the same bytes"
    assert align([root], points, tmp_path / "out.zip", Settings(size="112x96")).written == 3


def test_archives_are_read_and_jpeg_written(album, tmp_path):
    root, points = album
    with zipfile.ZipFile(tmp_path / "album.zip", "w") as archive:
        for name in PEOPLE:
            archive.write(root / name, name)
    made = align([tmp_path / "album.zip"], points, tmp_path / "a/out", Settings(form="jpeg", quality=90))
    assert made.images == 3
    with Image.open(tmp_path / "a/out/Ann/1.jpg") as picture:
        assert picture.format == "JPEG" and picture.size == (112, 112)
    assert align([tmp_path / "album.zip"], points, tmp_path / "a/out", Settings(form="jpeg", quality=90)).written == 0
    assert align([tmp_path / "album.zip"], points, tmp_path / "a/out", Settings(form="jpeg", quality=91)).written == 3


@pytest.mark.parametrize("evil", ["{root}/evil", "../evil", "Bob/../../evil"])
def test_nothing_is_written_outside_the_folder(album, tmp_path, evil):
    """The archive is refused as a whole, or the picture alone, or it is no picture of this archive."""
    root, points = album
    with zipfile.ZipFile(tmp_path / "album.zip", "w") as archive:
        archive.write(root / PEOPLE[1], PEOPLE[1])
        name = f"{evil.format(root=tmp_path)}/{PEOPLE[0]}"  # it has landmarks, by its end
        archive.writestr(zipfile.ZipInfo(name), (root / PEOPLE[0]).read_bytes())
    before = {path for path in tmp_path.rglob("*") if "a/b" not in str(path)}
    try:
        made = align([tmp_path / "album.zip"], points, tmp_path / "a/b/out")
    except RequestError as error:
        assert "leads out of" in str(error)
    else:
        assert made.images == 1
    after = {path for path in tmp_path.rglob("*") if "a/b" not in str(path)}
    assert after - before <= {tmp_path / "a"}


def test_progress_counts_to_the_end(album, tmp_path):
    root, points = album
    seen = []
    align([root], points, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_out_that_would_mix_with_something_else_is_refused(album, tmp_path):
    root, points = album
    for out in (root, root / "crops", tmp_path):
        with pytest.raises(RequestError, match="among the pictures"):
            align([root], points, out)
    (tmp_path / "used").mkdir()
    Image.fromarray(drawn(TEMPLATE)).save(tmp_path / "used/mine.png")
    with pytest.raises(RequestError, match="holds 'mine.png', which is no crop of these pictures"):
        align([root], points, tmp_path / "used")
    (tmp_path / "used/mine.png").unlink()
    align([root], points, tmp_path / "used")
    with pytest.raises(RequestError, match="holds 'Ann/1.png', which is no crop of these pictures"):
        align([root], points, tmp_path / "used", Settings(form="jpeg"))
    (tmp_path / "notes.zip").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("a", "b")
    for name, message in (("notes.zip", "no zip of crops"), ("mine.zip", "no zip of crops"), ("file", "is a file")):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(RequestError, match=message):
            align([root], points, tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


def test_wrong_requests_are_answered(album, tmp_path):
    root, points = album
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="no pictures in"):
        align([tmp_path / "empty"], points, tmp_path / "out")
    with pytest.raises(RequestError, match="'Ann/1.jpg' is in two of the paths"):
        align([root, root], points, tmp_path / "out")
    (root / "Ann/1.png").write_bytes(b"")
    both = landmarks.Landmarks(("Ann/1.jpg", "Ann/1.png"), np.stack([TEMPLATE] * 2), "csv", "xyxy")
    with pytest.raises(RequestError, match="'Ann/1.jpg' and 'Ann/1.png' would both become Ann/1.png"):
        align([root], both, tmp_path / "out")
    for wrong in (
        {"size": "96x112"},
        {"template_base": 2},
        {"landmarks_base": "1"},
        {"resample": "nearest"},
        {"form": "gif"},
        {"quality": 0},
        {"quality": True},
    ):
        with pytest.raises(RequestError, match="got|no template"):
            Settings(**wrong)


def test_bases_shift_by_a_pixel(album, tmp_path):
    root, points = album
    made = {}
    for name, bases in {
        "python": {},
        "both": {"template_base": 1, "landmarks_base": 1},
        "file": {"landmarks_base": 1},
    }.items():
        align([root], points, tmp_path / name, Settings(**bases))
        with Image.open(tmp_path / name / "Ann/2.png") as picture:
            made[name] = peak(np.asarray(picture)[:, :, 0], TEMPLATE[0]) - TEMPLATE[0]
    assert np.abs(made["python"]).max() < 0.2
    # The picture's blots lie where the file says, counted from 0: read from 1 they are sought a pixel further up and left.
    np.testing.assert_allclose(made["file"] - made["python"], np.array([1, 1]) @ _turn("Ann/2.jpg"), atol=0.1)
    np.testing.assert_allclose(made["both"] - made["file"], (-1, -1), atol=0.1)


def _turn(name):
    from bench.alignment import similarity

    return similarity(POINTS[name], TEMPLATE).matrix[:, :2].T


def _hold(folder, ready, go):
    from bench import locks

    with locks.alone(folder):
        ready.set()
        go.wait(60)


def test_two_writers_of_one_folder_are_kept_apart(album, tmp_path):
    root, points = album
    (tmp_path / "out").mkdir()
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "out", ready, go))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(RequestError, match="another process writes crops to"):
            align([root], points, tmp_path / "out")
    finally:
        go.set()
        other.join(60)
    assert align([root], points, tmp_path / "out").images == 3


REAL = DATA / "lfw_view2_aligned112.zip"


@pytest.mark.skipif(
    not REAL.exists(), reason=f"no real data at {DATA}: set FACEBENCH_DATA to the folder that holds {REAL.name}"
)
def test_aligned_faces_stay_where_they_are(tmp_path):
    """LFW's crops on their own template: the 112 x 112 crop is the picture, the 112 x 96 one its columns 8 to 103."""
    with zipfile.ZipFile(REAL) as archive:
        names = [name for name in sorted(archive.namelist()) if name.endswith(".jpg")][:40]
    points = landmarks.Landmarks(tuple(names), np.stack([TEMPLATE] * len(names)), "csv", "xyxy")
    for size, columns in (("112x112", slice(None)), ("112x96", slice(8, 104))):
        made = align([REAL], points, tmp_path / size, Settings(size=size))
        assert made.images == 40 and len(made.failed) == 7_701 - 40
        with zipfile.ZipFile(REAL) as archive:
            for name in names:
                after = Image.open(tmp_path / size / name.replace(".jpg", ".png"))
                with after, archive.open(name) as file, Image.open(file) as before:
                    assert np.array_equal(np.asarray(after), np.asarray(before.convert("RGB"))[:, columns])
