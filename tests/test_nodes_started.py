"""The cluster that other tests run on is what it says: nodes, resources, a token, and nothing of it left at the end."""

import json
import subprocess
import sys

import pytest
from ray_nodes import Shape, ray_nodes

pytestmark = [pytest.mark.slow, pytest.mark.long]

_LOOK = """
import json, sys, time, ray
ray.init(sys.argv[1], log_to_driver=False)

@ray.remote(resources={"second": 1})
def where():
    return ray.util.get_node_ip_address()

nodes = {node["NodeManagerAddress"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
print(json.dumps({"nodes": nodes, "second": ray.get(where.remote(), timeout=60)}))
"""


def test_a_cluster_of_several_nodes_starts_loses_one_and_is_gone_at_the_end():
    with ray_nodes(Shape(cpus=1, gpus=2), Shape(cpus=2, resources={"second": 1}), dashboard=False) as cluster:
        told = subprocess.run(
            [sys.executable, "-c", _LOOK, cluster.address], env=cluster.env, capture_output=True, text=True, timeout=120
        )
        assert told.returncode == 0, told.stderr
        found = json.loads(told.stdout.splitlines()[-1])
        head, second = cluster.nodes
        assert found["second"] == second.ip == "127.0.0.2"
        assert found["nodes"][head.ip]["GPU"] == 2 and found["nodes"][second.ip]["CPU"] == 2
        assert second.processes()
        second.kill()
        assert not second.processes() and head.processes()
    assert not head.processes()


def test_without_the_token_nobody_gets_in():
    with ray_nodes(Shape(cpus=1)) as cluster:
        env = {**cluster.env, "RAY_AUTH_TOKEN": "0" * 64}
        listed = [sys.executable, "-m", "ray.scripts.scripts", "job", "list", "--address", cluster.dashboard]
        right = subprocess.run(listed, env=cluster.env, capture_output=True, text=True, timeout=120)
        wrong = subprocess.run(listed, env=env, capture_output=True, text=True, timeout=120)
    assert right.returncode == 0, right.stderr
    assert wrong.returncode != 0 and "auth" in (wrong.stderr + wrong.stdout).lower()
