"""What a model's file says of itself: `facebench.KEY` -> JSON, in the metadata of ONNX and of safetensors.

`size`, `mean`, `std`, `range`, `colour`, `layout`, `crop`, `patch` and `flip` are those of `bench.networks.inputs`; files that
are written here also say `trial`, `backbone`, `backbone_options`, `embedding_dim`, `loss`, and
the `scorer` of their figures. Anybody may write them.
"""

import json
from collections.abc import Mapping
from typing import Any

from bench.errors import RequestError

PREFIX = "facebench."


def read(name: str, found: Mapping[str, str]) -> dict[str, Any]:
    """What the file `name` says; other keys are passed over.

    Raises:
        RequestError: a value is no JSON.
    """
    said = {}
    for key, text in found.items():
        if key.startswith(PREFIX):
            try:
                said[key.removeprefix(PREFIX)] = json.loads(text)
            except ValueError as error:
                raise RequestError(f"{name}: the metadata {key} is JSON, got {text!r}") from error
    return said


def written(said: Mapping[str, Any]) -> dict[str, str]:
    """The same as a file holds it."""
    return {PREFIX + key: json.dumps(value) for key, value in said.items()}
