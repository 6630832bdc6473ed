"""What a node is asked before the first trial, and how what is wrong with it is said."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ray_nodes import Shape, can_mount, ray_nodes

from bench.errors import RequestError
from sweeps import nodes, packing
from sweeps.nodes import Fact, Wanted
from sweeps.parts import Resources
from sweeps.room import Node


@pytest.fixture
def wanted(tmp_path, tree):
    """A data set, a protocol, and a storage with the driver's marker."""
    data = {"name": "folder", "paths": [str(tree)]}
    with nodes._marked(str(tmp_path / "runs")) as token:
        yield Wanted((data,), ({"name": "heldout", "faces": data},), str(tmp_path / "runs"), token)


def said(wanted, **changed) -> list[str]:
    """What is wrong with a node that is asked `changed`, while the driver has what was wanted."""
    here = nodes.examine(wanted)
    there = nodes.examine(wanted._replace(**changed))
    return list(nodes._differences(here, there))


def test_a_machine_that_is_alike_has_nothing_wrong_and_leaves_its_marker(wanted):
    assert said(wanted) == []
    assert nodes._written(wanted, nodes.examine(wanted)) == ""
    lost = {"storage": Fact("0123")}
    assert "does not arrive here" in nodes._written(wanted, lost)


def test_markers_are_gone_afterwards(tmp_path):
    with nodes._marked(str(tmp_path)) as token:
        assert nodes._storage(Wanted((), (), str(tmp_path), token)).trouble == ""
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


def test_storage_may_be_a_url():
    with nodes._marked("memory://runs/study") as token:
        assert nodes._storage(Wanted((), (), "memory://runs/study", token)).trouble == ""


def test_storage_that_is_not_there_or_is_another_is_said(wanted, tmp_path):
    (tmp_path / "other").mkdir()
    (trouble,) = said(wanted, place=str(tmp_path / "other"))
    assert (
        f"{tmp_path / 'other'} cannot be used (FileNotFoundError" in trouble
        and "storage that all nodes share" in trouble
    )


def test_other_files_and_no_files_are_said(wanted, tree):
    here = nodes.examine(wanted)
    os.utime(next(tree.rglob("*.png")), (1, 1))  # a copy without its time
    kinds = list(nodes._differences(here, nodes.examine(wanted)))
    assert len(kinds) == 2
    assert kinds[0].startswith("data set 'folder' is another there than here (fingerprint ")
    assert kinds[1].startswith("protocol 'heldout' (number 1) is another there than here")
    shutil.rmtree(tree)
    assert all(f"no file or folder at {tree}" in trouble for trouble in nodes._differences(here, nodes.examine(wanted)))


def test_versions_and_sources_are_compared():
    here = {"python": Fact("3.11.7"), "torch": Fact("2.6.0"), "facebench": Fact("aa")}
    there = {"python": Fact("3.12.1"), "torch": Fact("", "package torch is not installed"), "facebench": Fact("bb")}
    python, torch, own = nodes._differences(here, there)
    assert python == "it has python 3.12.1, the driver has 3.11.7: install the same version on all"
    assert torch == "package torch is not installed"
    assert own.startswith("it runs another facebench than the driver (source bb, here aa)")


def test_the_sentence_names_the_first_node_and_counts_the_others():
    with pytest.raises(
        RequestError, match=r"^node 10\.0\.0\.2: no data; x; 1 more node\(s\) have troubles: node 10\.0\.0\.4$"
    ):
        nodes._refuse({"node 10.0.0.1": [], "node 10.0.0.2": ["no data", "x"], "node 10.0.0.4": ["y"]})
    nodes._refuse({"node 10.0.0.1": []})


def test_only_nodes_that_can_hold_a_trial_are_asked():
    there = [
        Node("1", "b", {"CPU": 4, "GPU": 1}),
        Node("2", "a", {"CPU": 1}),
        Node("3", "head", {}),
    ]
    assert [node.address for node in nodes._able(there, Resources(cpus=1))] == ["a", "b"]
    assert [node.address for node in nodes._able(there, Resources(cpus=1, gpus=0.5))] == ["b"]


_CHECK = """
import json, sys, ray
from bench.errors import RequestError
from sweeps import nodes, reading
from sweeps.parts import Resources
study, place, address, *marks = sys.argv[1:]
ray.init(address, log_to_driver=False)
told = {}
for mark in marks:
    try:
        asked = reading.load(study)
        nodes.check(asked.model_copy(update={"resources": Resources(custom={mark: 1.0})}), place)
        told[mark] = "right"
    except RequestError as error:
        told[mark] = str(error)
print(json.dumps(told))
"""

_STUDY = """
name: tiny
data: {name: folder, paths: [faces]}
backbones: [cnn4]
losses: [softmax]
confirm: {epochs: 1}
protocols: [{name: heldout, faces: {name: folder, paths: [faces]}}]
"""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not can_mount(), reason="a node that sees other files needs `unshare -m`")
def test_real_nodes_with_other_versions_data_source_and_storage_are_named(tmp_path, tree):
    (tmp_path / "tiny.yaml").write_text(_STUDY)
    runs, nowhere, other = tmp_path / "runs", tmp_path / "nowhere", tmp_path / "other"
    runs.mkdir()
    nowhere.mkdir()
    shutil.copytree(tree, other, copy_function=shutil.copyfile)  # the same bytes with times of their own
    packages = tmp_path / "packages"
    (packages / "timm-0.1.dist-info").mkdir(parents=True)
    (packages / "timm-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: timm\nVersion: 0.1\n")
    source = tmp_path / "source"
    packing.packages(source)
    with (source / "losses" / "softmax.py").open("a") as file:
        file.write("# another\n")
    shapes = {
        "alike": Shape(cpus=1, resources={"alike": 1}),
        "packages": Shape(cpus=1, resources={"packages": 1}, env={"PYTHONPATH": f"{packages}:{source}"}),
        "disks": Shape(cpus=1, resources={"disks": 1}, mounts=((other, tree), (nowhere, runs))),
    }
    with ray_nodes(*shapes.values(), dashboard=False) as cluster:
        env = cluster.env | {"FACEBENCH_DATA": str(tmp_path), "FACEBENCH_RUNS": str(runs)}
        command = [sys.executable, "-c", _CHECK, "tiny.yaml", str(runs / "tiny"), cluster.address, *shapes]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        swept = subprocess.run(
            [sys.executable, "-m", "bench", "sweep", "tiny.yaml", "--address", cluster.address],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        ips = {mark: node.ip for mark, node in zip(shapes, cluster.nodes, strict=True)}
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["alike"] == "right"
    assert f"node {ips['packages']}: it has timm 0.1, the driver has " in told["packages"]
    assert "it runs another facebench than the driver" in told["packages"]
    assert f"node {ips['disks']}: data set 'folder' is another there than here" in told["disks"]
    assert "protocol 'heldout' (number 1) is another there than here" in told["disks"]
    assert f"{runs / 'tiny'} cannot be used (FileNotFoundError" in told["disks"]
    # The command itself: one sentence, before any trial.
    assert swept.returncode == 2 and "Traceback" not in swept.stderr
    assert f"1 more node(s) have troubles: node {ips['disks']}" in swept.stderr.splitlines()[-1]
    assert not list(Path(runs).glob("tiny/*/events.jsonl")) and not list(Path(runs).glob("tiny/.marker-*"))
