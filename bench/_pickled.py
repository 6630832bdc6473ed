"""The plain values in a pickle, read without unpickling it.

A pickle is a program: whoever loads one runs it. Even an unpickler whose `find_class` lets nothing through but numpy's
builders calls numpy with the file's arguments (shapes, dtypes, object arrays), and reserves what the file says it needs.
So nothing here is called, imported or set: a small machine of its own walks over the opcodes of protocols 2 to 5 that
lists, tuples, bytes, words, whole numbers, booleans and numpy arrays are written with, and notes where each value lies.

- Bytes and words are places in the file (`Span`); none is copied. A length beyond the file's end is an error at once.
- A name (`GLOBAL`, `STACK_GLOBAL`) is compared with `BUILDERS` and stays a name. A "call" of one is a pattern that is
  recognised, as pickle writes it for one-byte arrays, or an error; any other name is refused with its name.
- The memo is a mapping, so a large index reserves nothing; the values are counted, so that a file of millions of empty
  lists cannot fill the memory; nothing is walked recursively.

Python 2 wrote its strings as bytes; Python 3, in protocol 2, bytes as `_codecs.encode(word, "latin1")`.
"""

import pickletools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bench._pickled_values import BUILDERS, BadPickle, Data, Forbidden, Reader, build, called

MOST_STEPS = 2_000_000  # opcodes in one file; a verification set of 12,000 images takes 100,000 at most


def load(data: Data) -> Any:
    """The value: nested lists and tuples of `Span`, `Array`, int, bool and None.

    Raises:
        BadPickle: not a pickle of protocol 2 to 5, damaged, or of something else than plain data.
        Forbidden: it names a global that is not among `BUILDERS`.
    """
    return _Machine(data).run()


class _Machine:
    """The stack machine of pickle, without its calls."""

    def __init__(self, data: Data):
        self.read = Reader(data)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        read = self.read
        if read.number(1) != _PROTO or not 2 <= read.number(1) <= 5:
            raise BadPickle("does not begin as a pickle of protocol 2 to 5")
        for _ in range(MOST_STEPS):
            if (code := read.number(1)) == _STOP:
                return self.last()
            action = _ACTIONS.get(code)
            if action is None:
                name = next((known.name for known in pickletools.opcodes if known.code == chr(code)), hex(code))
                raise read.fail(f"has opcode {name}, which plain data do not need")
            action(self)
        raise BadPickle(f"has more than {MOST_STEPS:,} opcodes")

    def last(self) -> Any:
        value = self.pop()
        if self.stack or self.marks or self.read.place != self.read.size:
            raise self.read.fail(f"does not end where its {self.read.size:,} bytes end")
        return value

    # --- the stack ---

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.read.fail("takes a value that is not there")
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """All values since the last mark."""
        if not self.marks:
            raise self.read.fail("has no mark")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    # --- opcodes ---

    def frame(self) -> None:
        length = self.read.number(8)
        self.read.take(length)
        self.read.place -= length

    def mark(self) -> None:
        if len(self.marks) > 1_000:
            raise BadPickle("is nested too deeply")
        self.marks.append(len(self.stack))

    def string(self, size: int) -> None:
        self.push(self.read.take(self.read.number(size)))

    def long(self) -> None:
        if (size := self.read.number(1)) > 8:
            raise self.read.fail(f"has a number of {size} bytes")
        self.push(self.read.number(size, signed=True))

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def extend(self, values: Sequence[Any]) -> None:
        target = self.pop()
        if not isinstance(target, list):
            raise self.read.fail("appends to what is no list")
        target.extend(values)
        self.stack.append(target)

    def put(self, size: int | None) -> None:
        value = self.pop()
        self.memo[len(self.memo) if size is None else self.read.number(size)] = value
        self.stack.append(value)

    def get(self, size: int) -> None:
        index = self.read.number(size)
        if index not in self.memo:
            raise self.read.fail(f"reads memo {index:,} that was not written")
        self.push(self.memo[index])

    def named(self, module: str, name: str) -> None:
        if (module, name) not in BUILDERS:
            raise Forbidden(ascii(f"{module}.{name}")[1:-1])  # whatever it holds, it is shown on one line
        self.push(BUILDERS[module, name])

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.named(self.read.word(module), self.read.word(name))

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.push(called(self.read, function, arguments))

    def build(self) -> None:
        state, target = self.pop(), self.pop()
        build(self.read, target, state)
        self.push(target)


_PROTO, _STOP = 0x80, ord(".")
_Action = Callable[[_Machine], None]
_ACTIONS: dict[int, _Action] = {
    0x95: _Machine.frame,
    ord("("): _Machine.mark,
    ord("N"): lambda machine: machine.push(None),
    0x88: lambda machine: machine.push(True),
    0x89: lambda machine: machine.push(False),
    ord("J"): lambda machine: machine.push(machine.read.number(4, signed=True)),
    ord("K"): lambda machine: machine.push(machine.read.number(1)),
    ord("M"): lambda machine: machine.push(machine.read.number(2)),
    0x8A: _Machine.long,
    ord("]"): lambda machine: machine.push([]),
    ord(")"): lambda machine: machine.push(()),
    ord("t"): lambda machine: machine.push(tuple(machine.marked())),
    ord("a"): lambda machine: machine.extend([machine.pop()]),
    ord("e"): lambda machine: machine.extend(machine.marked()),
    ord("c"): lambda machine: machine.named(machine.read.line(), machine.read.line()),
    0x93: _Machine.stack_global,
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
    0x94: partial(_Machine.put, size=None),
}
_ACTIONS |= {code: partial(_Machine.tuple_of, count=count) for code, count in ((0x85, 1), (0x86, 2), (0x87, 3))}
_ACTIONS |= {ord(code): partial(_Machine.put, size=size) for code, size in (("q", 1), ("r", 4))}
_ACTIONS |= {ord(code): partial(_Machine.get, size=size) for code, size in (("h", 1), ("j", 4))}
_STRINGS = {"U": 1, "T": 4, "X": 4, "\x8c": 1, "\x8d": 8, "B": 4, "C": 1, "\x8e": 8, "\x96": 8}
_ACTIONS |= {ord(code): partial(_Machine.string, size=size) for code, size in _STRINGS.items()}
