"""`facebench data align`, `fetch`, `overlap`, `cache` as a user meets them; what they do is tested with their modules."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import fetching
from bench.alignment import TEMPLATE
from bench.errors import Unreachable


@pytest.fixture
def album(tmp_path):
    """Two pictures with landmarks and one without."""
    random = np.random.default_rng(0)
    rows = ["path," + ",".join(f"{axis}{point}" for point in range(1, 6) for axis in "xy")]
    for name, shift in (("Ann/1.png", 20), ("Bob/1.png", 30), ("Cy/1.png", None)):
        (tmp_path / "album" / name).parent.mkdir(parents=True)
        Image.fromarray(random.integers(0, 256, (180, 180, 3), np.uint8)).save(tmp_path / "album" / name)
        if shift is not None:
            rows.append(",".join([name, *(f"{value:.10g}" for value in np.ravel(TEMPLATE + shift))]))
    (tmp_path / "points.csv").write_text("\n".join(rows))
    return tmp_path


def test_align_crops_and_lists_what_it_could_not(facebench, album):
    request = ["data", "align", album / "album", "--landmarks", album / "points.csv", "-o", album / "crops"]
    code, out, _ = facebench(*request)
    assert code == 0 and "2 crops, 2 of them new, 1 failed, median distance to the template 0.00 pixels" in out
    with Image.open(album / "album/Ann/1.png") as picture, Image.open(album / "crops/Ann/1.png") as crop:
        assert np.array_equal(np.asarray(crop), np.asarray(picture)[20:132, 20:132])
    code, out, _ = facebench(*request, "--json")
    answer = json.loads(out)
    assert code == 0 and answer["written"] == 0 and answer["failed"][0]["path"] == "Cy/1.png"
    code, _, err = facebench(*request, "--set", "sise=112x96")
    assert code == 2 and "align has no option 'sise'; it has: size, template_base" in err
    code, _, err = facebench(*request, "--set", "size=96x96")
    assert code == 2 and "112x112" in err and err.count("\n") == 1


def test_fetch_says_offline_in_one_sentence_and_exits_with_1(facebench, tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise Unreachable("mnist cannot be fetched: there is no network")

    monkeypatch.setattr(fetching, "fetch", no_network)
    code, _, err = facebench("data", "fetch", "mnist", "-o", tmp_path)
    assert code == 1 and err == "facebench: mnist cannot be fetched: there is no network\n"
    monkeypatch.undo()
    code, _, err = facebench("data", "fetch", "vggface", "-o", tmp_path)
    assert code == 2 and "no set 'vggface' to be fetched; there are: " in err


def test_fetch_tells_what_came(facebench, tmp_path, monkeypatch):
    found = fetching.Fetched("mnist", tmp_path / "mnist", 4, 1000, "complete", "--data that folder")
    monkeypatch.setattr(fetching, "fetch", lambda name, folder, timeout: found)
    code, out, _ = facebench("data", "fetch", "mnist", "-o", tmp_path)
    assert code == 0 and "4 files, 1,000 bytes, was there already; --data that folder" in out
    code, out, _ = facebench("data", "fetch", "mnist", "-o", tmp_path, "--json")
    assert code == 0 and json.loads(out)["state"] == "complete"


def test_overlap_finds_shared_images_and_a_protocol_leaves_them_out(facebench, tmp_path, tree, monkeypatch):
    test = tmp_path / "test"
    shutil.copytree(tree / "Ann", test / "Zoe")
    shutil.copytree(tree / "Bob", test / "Yan")
    for number in range(3):
        path = test / "Yan" / ("deep" if number == 2 else "") / f"{number}.png"
        Image.fromarray(np.random.default_rng(50 + number).integers(0, 256, (20, 16, 3), np.uint8)).save(path)
    code, out, _ = facebench("data", "overlap", tree, test, "-o", tmp_path / "out", "--json")
    answer = json.loads(out)
    assert code == 0 and answer["counts"]["exact"] == 3 and answer["counts"]["contaminated_images"] == 3
    lines = (tmp_path / "out" / "contaminated.csv").read_text().splitlines()
    assert lines == ["image,identity", "Zoe/0.png,Zoe", "Zoe/1.png,Zoe", "Zoe/deep/2.png,Zoe"]
    names = ["Zoe/0.png", "Zoe/1.png", "Bob/0.png", "Bob/1.png", "Bob/2.png", "Cy/0.png", "Cy/1.png"]
    (tmp_path / "images.txt").write_text("\n".join(names))
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(7, 4)))
    request = ["evaluate", tmp_path / "mine.npy", "--protocol", "retrieval", "--root", tmp_path, "--json"]
    monkeypatch.chdir(tmp_path / "out")  # the user's own list is looked for beside him, not below the protocol's root
    code, out, _ = facebench(*request, "--set", "leave_out=contaminated.csv")
    answer = json.loads(out)
    assert code == 0 and answer["counts"]["left_out_images"] == 2
    assert {"retrieval/map_at_r", "retrieval-decontaminated/map_at_r"} <= set(answer["metrics"])


def test_overlap_of_a_protocol_and_by_embeddings(facebench, tmp_path, tree):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "images.txt").write_text("Ann/0.png\nAnn/1.png\nBob/0.png\nBob/1.png")
    shutil.copytree(tree / "Ann", tmp_path / "test" / "Ann")
    shutil.copytree(tree / "Bob", tmp_path / "test" / "Bob")
    rows = np.eye(4).repeat(3, axis=0)
    np.save(tmp_path / "train.npy", rows)
    np.save(tmp_path / "test.npy", rows[[0, 1, 9, 9]])
    request = ["data", "overlap", tree, "retrieval", "-o", tmp_path / "out", "--set", f"test.root={tmp_path / 'test'}"]
    code, out, err = facebench(*request, "--train-embeddings", tmp_path / "train.npy")
    assert code == 2 and "give --train-embeddings and --test-embeddings" in err
    both = ["--train-embeddings", tmp_path / "train.npy", "--test-embeddings", tmp_path / "test.npy"]
    code, out, _ = facebench(*request, *both, "--threshold", "0.9", "--images-only")
    assert code == 0 and "         2  embedding" in out and "test images of 2 identities to be left out" in out
    code, _, err = facebench("data", "overlap", tree, tree, "--set", "tset.root=1")
    assert code == 2 and "overlap takes --set train.KEY=VALUE and test.KEY=VALUE, got 'tset'" in err


def test_cache_builds_lists_and_verifies(facebench, tmp_path, tree, monkeypatch):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    code, out, _ = facebench("data", "cache")
    assert code == 0 and out == "nothing is cached\n"
    code, out, _ = facebench("data", "cache", tree, "--size", "8", "--json")
    (info,) = json.loads(out)
    assert code == 0 and info["images"] == 12 and info["state"] == "fresh"
    code, out, _ = facebench("data", "cache", tree, "--size", "8")
    assert code == 0 and "12 images" in out and "complete" in out
    spoilt = bytearray(Path(info["path"]).read_bytes())
    spoilt[-1] ^= 1
    Path(info["path"]).write_bytes(spoilt)
    code, out, _ = facebench("data", "cache", "--verify")
    assert code == 1 and "damaged" in out


def test_inspect_tells_what_lies_there_and_draws_it(facebench, tmp_path, tree):
    code, out, _ = facebench("data", "inspect", tree, "-o", tmp_path / "sheet.png")
    assert code == 0 and f"{tree}: images in folders, one an identity" in out
    assert f"facebench train --dataset folder --set data.paths=[{tree}]" in out
    assert (
        "identities: 4" in out
        and "12, 3 to 3 an identity, median 3" in out
        and "of 20x16 (12); 0 cannot be read" in out
    )
    assert "2 files are no images by their names" in out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[1] > 4 * 64
    code, out, _ = facebench("data", "inspect", tree, "--json")
    answer = json.loads(out)
    assert code == 0 and answer["dataset"] == "folder" and answer["images_per_identity"]["median"] == 3
    (tmp_path / "pairs.txt").write_text("1\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\n")
    code, out, _ = facebench("data", "inspect", tmp_path / "pairs.txt")
    assert code == 0 and "facebench evaluate ... --protocol lfw" in out
    code, _, err = facebench("data", "inspect", tmp_path / "pairs.txt", "-o", tmp_path / "no.png")
    assert code == 2 and "there are no identities to draw a contact sheet of" in err
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04" + bytes(200))
    code, _, err = facebench("data", "inspect", tmp_path / "cut.zip")
    assert code == 2 and "cut.zip begins as a zip file and has no end: it was cut short" in err
    code, _, err = facebench("data", "images", "--protocol", "lwf")
    assert code == 2 and "no 'lwf' in protocols" in err
    code, _, err = facebench("data", "cache", tmp_path / "pairs.txt")
    assert code == 2 and "no data set: expected folder, recordio" in err


def test_features_go_to_the_devkits_files_and_are_scored_from_them(facebench, tmp_path):
    images = [f"P{n // 3:02d}/{n % 3}.jpg" for n in range(24)]
    (tmp_path / "probes.txt").write_text("\n".join(images[:12]))
    (tmp_path / "distractors.txt").write_text("\n".join(images[12:]))
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32))
    code, out, _ = facebench("data", "features", tmp_path / "mine.npy", "-o", tmp_path / "bins", "--root", tmp_path)
    assert code == 0 and "24 feature files *_facebench.bin" in out
    request = ["--protocol", "megaface", "--root", tmp_path, "--json"]
    answers = [json.loads(facebench("evaluate", tmp_path / what, *request)[1]) for what in ("mine.npy", "bins")]
    assert answers[0]["metrics"] == answers[1]["metrics"] and answers[0]["hash"] == answers[1]["hash"]
    (tmp_path / "bins" / "P05" / "1.jpg_facebench.bin").unlink()
    code, _, err = facebench("evaluate", tmp_path / "bins", *request)
    assert code == 2 and "P05/1.jpg" in err and err.count("\n") == 1
    code, out, _ = facebench("evaluate", tmp_path / "bins", *request, "--allow-missing")
    assert code == 0 and json.loads(out)["marks"]["megaface/rank1"].startswith("partial: 1 of 24 images are missing")
    code, _, err = facebench("evaluate", tmp_path / "bins", *request, "--suffix", "_other.bin")
    assert code == 2 and err.count("\n") == 1
