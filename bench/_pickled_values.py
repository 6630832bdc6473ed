"""The values that `bench._pickled` finds in a pickle, the bytes they lie in, and what the names in it stand for.

Nothing of this calls numpy: an array is its shape and the place of its bytes.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol

_LONGEST_WORD = 200


class Data(Protocol):
    """Bytes, or a file mapped into memory."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> bytes: ...
    def find(self, what: bytes, start: int, stop: int, /) -> int: ...


class BadPickle(ValueError):
    """What is wrong with the file, in words that follow `it `."""


class Forbidden(BadPickle):
    """The pickle names something that plain data do not need; the message is the name."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes or a word: where it lies; `latin`: as UTF-8 of characters that stand for one byte each."""

    start: int
    stop: int
    latin: bool = False

    def content(self, data: Data) -> bytes:
        """The bytes.

        Raises:
            BadPickle: they are no such UTF-8.
        """
        raw = data[self.start : self.stop]
        if not self.latin:
            return raw
        try:
            return raw.decode("utf-8").encode("latin-1")
        except UnicodeError as error:
            raise BadPickle(f"holds bytes at {self.start:,} that are badly encoded ({error})") from error


@dataclass(eq=False)
class Dtype:
    """`numpy.dtype(code)`: `u1` or `b1`."""

    code: str


@dataclass(eq=False)
class Array:
    """A numpy array of one-byte elements; without `data` while it is being built."""

    shape: tuple[int, ...] = ()
    code: str = ""
    data: Span | None = None

    @property
    def flat(self) -> bool:
        """Whether its elements have one order only: at most one dimension is longer than 1."""
        return sum(length != 1 for length in self.shape) <= 1


@dataclass(frozen=True)
class Name:
    """A global that the pickle names, e.g. `numpy.ndarray`."""

    name: str


BUILDERS = {
    ("_codecs", "encode"): Name("encode"),
    ("numpy", "ndarray"): Name("ndarray"),
    ("numpy", "dtype"): Name("dtype"),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Name("reconstruct") for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): Name("scalar") for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): Name("frombuffer") for core in ("core", "_core")},
}
_ONE_BYTE = (3, "|", None, None, None, -1, -1, 0)  # the state of a dtype of one byte


class Reader:
    """The bytes of a pickle, read from front to back.

    Attributes:
        place: where the next byte is read.
    """

    def __init__(self, data: Data):
        self.data, self.size, self.place = data, len(data), 0
        self._latin: dict[Span, int] = {}

    def take(self, count: int) -> Span:
        """The next bytes."""
        if not 0 <= count <= self.size - self.place:
            raise BadPickle(f"is cut off: {count:,} bytes are announced at byte {self.place:,} of {self.size:,}")
        self.place += count
        return Span(self.place - count, self.place)

    def number(self, size: int, signed: bool = False) -> int:
        span = self.take(size)
        return int.from_bytes(self.data[span.start : span.stop], "little", signed=signed)

    def line(self) -> str:
        end = self.data.find(b"\n", self.place, min(self.size, self.place + _LONGEST_WORD))
        if end < 0:
            raise BadPickle(f"has a name without an end at byte {self.place:,}")
        text = self.data[self.place : end].decode("ascii", "backslashreplace")
        self.place = end + 1
        return text

    def word(self, value: Any) -> str:
        """A short string's text."""
        if not isinstance(value, Span) or value.latin or value.stop - value.start > _LONGEST_WORD:
            raise self.fail("has no word where one is needed")
        return self.data[value.start : value.stop].decode("ascii", "backslashreplace")

    def length(self, span: Span) -> int:
        """How many bytes it holds; found once for each place, however often it is named."""
        if not span.latin:
            return span.stop - span.start
        if span not in self._latin:
            self._latin[span] = len(span.content(self.data))
        return self._latin[span]

    def fail(self, what: str) -> BadPickle:
        """An error that says where it was found."""
        return BadPickle(f"{what}, before byte {self.place:,}")


def called(reader: Reader, function: Any, arguments: Any) -> Any:
    """What a call stands for, if pickle writes it so for bytes, or for arrays and scalars of one-byte elements.

    Raises:
        BadPickle: any other call.
    """
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise reader.fail("calls what is no array's builder")
    match function.name, arguments:
        case "encode", (Span(latin=False) as text, Span() as codec) if reader.word(codec) in ("latin1", "latin-1"):
            return replace(text, latin=True)
        case "dtype", (Span() as code, int(), int()) if reader.word(code) in ("u1", "b1"):
            return Dtype(reader.word(code))
        case "reconstruct", (Name("ndarray"), (0,), Span()):
            return Array()
        case "frombuffer", (Span() as content, Dtype() as kind, tuple() as shape, Span()):
            return _array(reader, shape, kind, content)
        case "scalar", (Dtype() as kind, Span() as content):
            return _scalar(reader, kind, content)
    raise reader.fail("builds something else than an array of bytes or booleans")


def build(reader: Reader, target: Any, state: Any) -> None:
    """Give an array the content, or a dtype the state, that pickle writes for one-byte elements.

    Raises:
        BadPickle: any other state.
    """
    match target, state:
        case Dtype(), tuple() if _is_one_byte(reader, state):
            return
        case Array(data=None), (int(), tuple() as shape, Dtype() as kind, int(), Span() as content):
            built = _array(reader, shape, kind, content)
            target.shape, target.code, target.data = built.shape, built.code, built.data
            return
    raise reader.fail("builds something else than an array of bytes or booleans")


def _is_one_byte(reader: Reader, state: tuple[Any, ...]) -> bool:
    if len(state) != len(_ONE_BYTE) or not isinstance(state[1], Span):
        return False
    return (state[0], reader.word(state[1]), *state[2:]) == _ONE_BYTE


def _array(reader: Reader, shape: tuple[Any, ...], kind: Dtype, content: Span) -> Array:
    if len(shape) > 32 or not all(isinstance(length, int) and length >= 0 for length in shape):
        raise reader.fail("has an array of no possible shape")
    if prod(shape) != (size := reader.length(content)):
        raise reader.fail(f"has an array of {prod(shape):,} elements with {size:,} bytes")
    return Array(shape, kind.code, content)


def _scalar(reader: Reader, kind: Dtype, content: Span) -> int:
    if reader.length(content) != 1:
        raise reader.fail("has a scalar of more than one byte")
    value = content.content(reader.data)[0]
    return bool(value) if kind.code == "b1" else value
