"""Processes that stand for the ranks of a group, each running a script of this folder: `SCRIPT RANK SIZE FOLDER`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent


def ran(script: str, size: int, folder: Path) -> list[Any]:
    """What each of `size` processes has left in the folder, as `RANK.pt`."""
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(HERE / script)]
    started = [subprocess.Popen([*command, str(rank), str(size), str(folder)], env=environment) for rank in range(size)]
    try:
        assert [one.wait(timeout=250) for one in started] == [0] * size
    finally:
        for one in started:
            one.kill()
            one.wait()
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(size)]
