"""The process that writes MLflow for another one: see `_mlflow_apart`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from bench import record, tracking
from bench._mlflow_apart import say
from bench._mlflow_store import Failed, cause


def main() -> None:
    """Hear requests until there is nobody who makes them."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    tracking.prepare()  # now, while the parent has other things to begin with
    mirror: tracking.Mirror | None = None

    def agree(mine: str, lost: str) -> str:
        say(out, "agree", [mine, lost])
        return json.loads(sys.stdin.readline())["agreed"]

    def do(kind: str, what: Any) -> bool:
        nonlocal mirror
        if kind == "open":
            mirror = None  # what it knew may be wrong now
            mirror = tracking.Mirror(**what | {"folder": Path(what["folder"])}, agree=agree)
        elif mirror is None:
            raise Failed("no mirror is open")
        elif kind == "send":
            return mirror.send(record.read(Path(what)))
        elif kind == "complete":
            mirror.complete(record.read(Path(what)))
        else:
            mirror.close(what)
        return False

    while line := sys.stdin.readline():
        try:
            done = do(*json.loads(line).popitem())
        except Exception as error:  # whatever it is: the parent decides
            say(out, "failed", cause(error))
        else:
            say(out, "done", done)


if __name__ == "__main__":
    main()
