"""Checkpoints of a trial, in a local folder or under any fsspec URL."""

import contextlib
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
_PART = re.compile(r"checkpoint-\d+\.(pt|\w+)\.part$")


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
        # Of its own: an older attempt may write on under the same number, where neither had saved yet.
        self._part = f"{self.folder}/checkpoint-{self.attempt}.{secrets.token_hex(4)}.part"
        for left in self._paths(_PART):
            with contextlib.suppress(FileNotFoundError):
                self.files.rm_file(left)

    def latest(self) -> tuple[dict[str, Any], list[Progress]] | None:
        """The state that is furthest on, with all events up to it; None where there is none. A broken file is passed over."""
        best = None
        for path in self._paths():
            try:
                content = self.files.cat_file(path)
            except FileNotFoundError:
                continue  # another attempt has tidied it away; a store that does not answer is another matter
            try:
                body = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
                continue  # cut short by a crash: an older attempt's file stands beside it
            if best is None or body["state"]["epoch"] > best["state"]["epoch"]:
                best = body
        return best and (best["state"], [Progress(**event) for event in json.loads(best["events"])])

    def save(self, state: dict[str, Any], events: list[Progress]) -> None:
        """Write the state whole or not at all: where the disk is full, the checkpoint before it stays as it is.

        Raises:
            OSError: it could not be written; what there was of it is gone, so that there is room for a record.
        """
        buffer = io.BytesIO()
        torch.save({"state": state, "events": json.dumps([asdict(event) for event in events])}, buffer)
        try:
            with self.files.open(self._part, "wb") as file:
                file.write(buffer.getvalue())
                file.flush()
            self.files.mv(self._part, f"{self.folder}/checkpoint-{self.attempt}.pt")
        except OSError:
            with contextlib.suppress(OSError):
                self.files.rm_file(self._part)
            raise

    def _paths(self, wanted: re.Pattern[str] = _NAME) -> list[str]:
        self.files.invalidate_cache(self.folder)  # a worker on another node may have written since
        try:
            found = self.files.ls(self.folder, detail=False)
        except FileNotFoundError:
            return []  # object stores have no empty folders
        return sorted(path for path in found if wanted.search(path))
