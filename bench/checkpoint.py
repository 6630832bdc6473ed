"""Checkpoints of a trial, in a local folder or under any fsspec URL."""

import io
import json
import pickle
import re
import secrets
from dataclasses import asdict
from typing import Any

import fsspec
import torch

from bench.plain import Progress

_NAME = re.compile(r"checkpoint-(\d+)\.pt$")


class Checkpoints:
    """The checkpoints of one trial.

    Each attempt at the trial writes a file of its own, `checkpoint-<attempt>.pt`: a worker whose driver was killed may
    write on for a moment, and must not write over the file of the one that took its place.
    """

    def __init__(self, folder: str):
        self.files, self.folder = fsspec.core.url_to_fs(str(folder))
        self.files.makedirs(self.folder, exist_ok=True)
        attempts = [int(found[1]) for path in self._paths() if (found := _NAME.search(path))]
        self.attempt = 1 + max(attempts, default=0)

    def latest(self) -> tuple[dict[str, Any], list[Progress]] | None:
        """The state that is furthest on, with all events up to it; None where there is none. A broken file is passed over."""
        best = None
        for path in self._paths():
            try:
                with self.files.open(path, "rb") as file:
                    body = torch.load(io.BytesIO(file.read()), map_location="cpu", weights_only=True)
            except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
                continue  # cut short by a crash: an older attempt's file stands beside it
            if best is None or body["state"]["epoch"] > best["state"]["epoch"]:
                best = body
        return best and (best["state"], [Progress(**event) for event in json.loads(best["events"])])

    def save(self, state: dict[str, Any], events: list[Progress]) -> None:
        """Write the state whole or not at all."""
        buffer = io.BytesIO()
        torch.save({"state": state, "events": json.dumps([asdict(event) for event in events])}, buffer)
        path = f"{self.folder}/checkpoint-{self.attempt}.pt"
        # Two attempts that began before there was any file have one number: the unfinished file is not theirs together.
        part = f"{path}.{secrets.token_hex(4)}.part"
        with self.files.open(part, "wb") as file:
            file.write(buffer.getvalue())
            file.flush()
        self.files.mv(part, path)

    def _paths(self) -> list[str]:
        return sorted(path for path in self.files.ls(self.folder, detail=False) if _NAME.search(path))
