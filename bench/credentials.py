"""Passwords in URLs: kept in memory where they are needed, hidden in everything that is written or shown."""

import os
import re
from typing import Any

from bench.errors import RequestError

STORAGE = "FACEBENCH_STORAGE"  # names the tuner's database where a study file should not

# `user:password@` with whatever unquoted characters a password has, else what stands before an @ in the host's place.
_USER = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.\-]*://)(?:[^\s/:@'\"<>]*:\S*@|[^\s/?#@'\"<>]*@)")
_WORDS = r"password|passwd|pwd|passphrase|token|secret|signature|credential|api_?key|access_?key(?:_?id)?|accountkey"
_QUERY = re.compile(
    rf"(?P<name>(?<![\w\-.])(?:[\w\-.]*(?:{_WORDS})|(?<=[?&;])(?:sig|key|auth))\s*=\s*)(?:'[^']*'|[^\s&;'\"<>]+)",
    re.IGNORECASE,
)


def hidden(text: str) -> str:
    """The text without its secrets: `***` for the user and password of every URL, and for every `password=`, `token=`,
    `sig=`, `X-Amz-Signature=` ... in it."""
    return _QUERY.sub(r"\g<name>***", _USER.sub(r"\g<scheme>***@", text))


def hidden_in(plain: Any) -> Any:
    """The same for every text in plain data (mappings, lists)."""
    if isinstance(plain, str):
        return hidden(plain)
    if isinstance(plain, dict):
        return {key: hidden_in(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return type(plain)(hidden_in(value) for value in plain)
    return plain


def resolved(text: str) -> str:
    """The text with every `${NAME}` in it replaced by the environment's, so that a file need not hold a password.

    A text that is `$NAME` as a whole is replaced too; within a text a bare `$` may be part of a password.

    Raises:
        RequestError: the environment has no such variable.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in os.environ:
            raise RequestError(
                f"{hidden(text)!r} names the environment variable {name}, which is not set: export {name}"
            )
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}|\A\$([A-Za-z_]\w*)\Z", value, text)
