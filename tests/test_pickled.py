"""The reader of pickles that loads none: what pickle writes is found, everything else is refused, nothing is run."""

import base64
import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from made_up_bins import PROTOCOLS, Calls

from bench import _pickled
from bench._pickled_values import Array, BadPickle, Forbidden, Span

QUICK = settings(deadline=None, derandomize=True, max_examples=150)


def plain(value, data):
    """What was found, as Python's own values."""
    if isinstance(value, Span):
        return value.content(data)
    if isinstance(value, Array):
        return np.frombuffer(value.data.content(data), value.code).reshape(value.shape)
    if isinstance(value, list | tuple):
        return type(value)(plain(item, data) for item in value)
    return value


def found(data):
    return plain(_pickled.load(data), data)


leaves = some.one_of(
    some.none(), some.booleans(), some.integers(-(2**62), 2**62), some.binary(min_size=1, max_size=300)
)
values = some.recursive(leaves, lambda inner: some.lists(inner, max_size=4) | some.tuples(inner, inner), max_leaves=12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@QUICK
@given(values)
def test_what_pickle_wrote_is_found(protocol, value):
    assert found(pickle.dumps(value, protocol=protocol)) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_bytes_and_of_booleans_are_found(protocol):
    arrays = [np.frombuffer(bytes(range(200, 256)), np.uint8), np.arange(6, dtype=np.uint8).reshape(3, 2)]
    arrays += [np.array([True, False, True])]
    data = pickle.dumps([*arrays, np.True_, np.uint8(200), arrays[0]], protocol=protocol)
    for text in (data, data.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")):  # numpy 2 and 1
        *again, true, number, shared = found(text)
        assert true is True and number == 200
        for array, read in zip([*arrays, arrays[0]], [*again, shared], strict=True):
            assert read.dtype == array.dtype and read.shape == array.shape and (read == array).all()


def test_numpy_1_names_are_known_in_new_protocols_too():
    """Under the same lengths: `numpy._core` is a letter longer than `numpy.core`, so its strings are built by hand."""
    dtype = b"\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02u1\x89\x88\x87R(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    text = b"\x80\x05\x8c\x12numpy.core.numeric\x8c\x0b_frombuffer\x93(C\x02ab" + dtype + b"K\x02\x85\x8c\x01CtR."
    assert found(text).tolist() == [97, 98]


def test_files_that_python_2_wrote():
    """([bytes, bytes, one string twice], [True, False]) by cPickle and by pickle of Python 2.7.18, protocol 2."""
    of_c = "gAJdcQEoVQb/2G9uZYBxAlUEAP/YeHEDVQV0aHJlZXEEaARlXXEFKIiJZYZxBi4="
    of_python = "gAJdcQAoVQb/2G9uZYBxAVUEAP/YeHECVQV0aHJlZXEDaANlXXEEKIiJZYZxBS4="
    for text in (of_c, of_python):
        assert found(base64.b64decode(text)) == (
            [b"\xff\xd8one\x80", b"\0\xff\xd8x", b"three", b"three"],
            [True, False],
        )


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch PATH",), f"{os.system.__module__}.system"),
        (eval, ("open('PATH', 'w')",), r"(__builtin__|builtins)\.eval"),
        (getattr, ("PATH", "split"), r"(__builtin__|builtins)\.getattr"),
        (np.load, ("PATH",), "numpy.load"),
        (np.ndarray.tofile, (np.zeros(3, np.uint8), "PATH"), r"(__builtin__|builtins)\.getattr"),
        (np.arange, (10**12,), "numpy.arange"),
    ],
)
def test_a_name_that_data_do_not_need_is_refused_and_nothing_happens(tmp_path, protocol, function, arguments, name):
    path = tmp_path / "made"
    arguments = [a.replace("PATH", str(path)) if isinstance(a, str) else a for a in arguments]
    with pytest.raises(Forbidden, match=f"^{name}$"):
        _pickled.load(pickle.dumps(([Calls(function, *arguments)], [True]), protocol=protocol))
    assert not path.exists()


class HasState(Calls):
    """A call whose result is then given a state."""

    def __init__(self, state, function, *arguments):
        self.call = function, arguments, state


ONE_BYTE = (3, "|", None, None, None, -1, -1, 0)


@pytest.mark.parametrize(
    ("state", "call"),
    [
        (ONE_BYTE[:-1], (np.dtype, "u1", False, True)),
        ((3, "|", None, ("a",), None, -1, -1, 0), (np.dtype, "u1", False, True)),
        ((3, ">", *ONE_BYTE[2:]), (np.dtype, "u1", False, True)),
        ((3, None, *ONE_BYTE[2:]), (np.dtype, "u1", False, True)),
        ((1, (3,), np.dtype("u1"), False, b"ab"), (np._core.multiarray._reconstruct, np.ndarray, (0,), b"b")),
        ((1, (10**12, 0), np.dtype("O"), False, []), (np._core.multiarray._reconstruct, np.ndarray, (0,), b"b")),
        ((1, (2,), np.dtype("u1"), False, [b"ab"]), (np._core.multiarray._reconstruct, np.ndarray, (0,), b"b")),
        ((1, (2,), "u1", False, b"ab"), (np._core.multiarray._reconstruct, np.ndarray, (0,), b"b")),
    ],
)
def test_states_are_those_of_one_byte_elements_or_refused(state, call):
    with pytest.raises(BadPickle, match="an array"):
        _pickled.load(pickle.dumps([HasState(state, *call)], protocol=2))


@pytest.mark.parametrize(
    "call",
    [
        (np.ndarray, ((10**12,), "u1")),  # memory without end
        (np.dtype, ("O", False, True)),
        (np.dtype, ("V1000000000000", False, True)),
        (np._core.multiarray._reconstruct, (np.ndarray, (10**12,), b"b")),
        (np._core.multiarray._reconstruct, (np.dtype, (0,), b"b")),
        (np._core.multiarray.scalar, (np.dtype("O"), b"x")),
        (np._core.multiarray.scalar, (np.dtype("u1"), b"xy")),
        (np._core.numeric._frombuffer, (b"ab", np.dtype("u1"), (10**12,), "C")),
        (np._core.numeric._frombuffer, (b"ab", np.dtype("u1"), (-1, -2), "C")),
        (np._core.numeric._frombuffer, (b"ab", np.dtype("u2"), (1,), "C")),
    ],
    ids=lambda call: f"{call[0].__name__}-{call[1]}",
)
def test_arrays_builders_are_called_in_pickles_own_way_or_not_at_all(call):
    with pytest.raises(BadPickle, match="an array|a scalar"):
        _pickled.load(pickle.dumps([Calls(call[0], *call[1])], protocol=2))


@pytest.mark.parametrize(
    "array",
    [np.array([1.5]), np.array([b"ab", None], object), np.array(["ab"]), np.zeros(2, "u1,u1"), np.datetime64(0, "s")],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_arrays_are_refused(array, protocol):
    with pytest.raises(BadPickle):
        _pickled.load(pickle.dumps(array, protocol=protocol))


@pytest.mark.parametrize("value", [{}, set(), 1.5, {"a": 1}, frozenset([1]), slice(1), 2**80], ids=repr)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_values_are_refused(value, protocol):
    with pytest.raises(BadPickle):
        _pickled.load(pickle.dumps([value], protocol=protocol))


HUGE = (2**62).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "is cut off: 1 bytes are announced at byte 0 of 0"),
        (b"no pickle", "does not begin as a pickle of protocol 2 to 5"),
        (pickle.dumps([b"a"], protocol=0), "does not begin as a pickle of protocol 2 to 5"),
        (b"\x80\x06N.", "does not begin as a pickle of protocol 2 to 5"),
        (b"\x80\x04N", "is cut off: 1 bytes are announced at byte 3 of 3"),
        (b"\x80\x04N.N", "does not end where its 5 bytes end, before byte 4"),
        (b"\x80\x04NN.", "does not end where its 5 bytes end"),
        (b"\x80\x04(N.", "does not end where its 5 bytes end"),
        (b"\x80\x04.", "takes a value that is not there"),
        (b"\x80\x04N(\x85t\x85.", "takes a value that is not there, before byte 5"),
        (b"\x80\x04\x8e" + HUGE + b"x.", "is cut off: 4,611,686,018,427,387,904 bytes are announced"),
        (b"\x80\x02T\xff\xff\xff\xffx.", "is cut off: 4,294,967,295 bytes are announced"),
        (b"\x80\x04\x95" + HUGE + b"N.", "is cut off: 4,611,686,018,427,387,904 bytes are announced"),
        (b"\x80\x04\x96" + HUGE + b"N.", "is cut off"),
        (b"\x80\x02j\xff\xff\xff\xff.", "reads memo 4,294,967,295 that was not written"),
        (b"\x80\x02N]a.", "appends to what is no list"),
        (b"\x80\x02t.", "has no mark"),
        (b"\x80\x02]" + 2_000 * b"(" + b".", "is nested too deeply"),
        (b"\x80\x02NNR.", "calls what is no array's builder"),
        (b"\x80\x02NNb.", "builds something else"),
        (b"\x80\x02NN\x93.", "has no word where one is needed"),
        (b"\x80\x02c" + 300 * b"x", "has a name without an end"),
        (b"\x80\x02cos\nsys\x1btem\n.", r"^os\.sys\\x1btem$"),
        (b"\x80\x02P1\n.", "has opcode PERSID, which plain data do not need, before byte 3"),
        (b"\x80\x02(ios\nsystem\n.", "has opcode INST"),
        (b"\x80\x02\x82\x01.", "has opcode EXT1"),
        (b"\x80\x02)\x81.", "has opcode NEWOBJ"),
        (b"\x80\x05\x97.", "has opcode NEXT_BUFFER"),
        (b"\x80\x05\xff.", "has opcode 0xff"),
        (b"\x80\x02\x8a\x09.", "has a number of 9 bytes"),
    ],
)
def test_damage_is_answered_in_words(text, sentence):
    with pytest.raises(BadPickle, match=sentence):
        _pickled.load(text)


def test_a_large_memo_index_reserves_nothing():
    assert _pickled.load(b"\x80\x02Nr\xff\xff\xff\xffj\xff\xff\xff\xff\x86.") == (None, None)


def test_a_list_that_holds_itself_and_deep_nesting_do_no_harm():
    held = _pickled.load(b"\x80\x02]q\x00h\x00a.")
    assert held[0] is held
    value = _pickled.load(b"\x80\x02N" + 100_000 * b"\x85" + b".")
    assert isinstance(value, tuple)
    with pytest.raises(BadPickle, match="builds something else"):
        _pickled.load(b"\x80\x02cnumpy\ndtype\n]q\x00h\x00a\x85R.")


def test_the_opcodes_are_counted(monkeypatch):
    monkeypatch.setattr(_pickled, "MOST_STEPS", 1_000)
    assert _pickled.load(b"\x80\x02]" + 499 * b"Na" + b".") == 499 * [None]
    with pytest.raises(BadPickle, match="has more than 1,000 opcodes"):
        _pickled.load(b"\x80\x02]" + 500 * b"Na" + b".")


def test_bytes_that_python_3_wrote_in_protocol_2_and_that_no_latin_1_can_hold():
    data = b"\x80\x02c_codecs\nencode\nX\x02\x00\x00\x00\xff\xffX\x06\x00\x00\x00latin1\x86R."
    span = _pickled.load(data)
    with pytest.raises(BadPickle, match="holds bytes at 23 that are badly encoded"):
        span.content(data)
    for codec in (b"X\x05\x00\x00\x00rot13", b"X\x04\x00\x00\x00zlib"):
        with pytest.raises(BadPickle, match="builds something else"):
            _pickled.load(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00a" + codec + b"\x86R.")


# --- fuzzing: a value or BadPickle, nothing else ---


def answered(data):
    try:
        plain(_pickled.load(data), data)
    except BadPickle as error:
        assert str(error)


GOOD = [([b"\xff\xd8a", b"b" * 300, b"c", b"c"], [True, False]), [np.frombuffer(b"ab", np.uint8), np.array([True])]]
GOOD += [[np.True_, None, -1, 70_000, (1, 2, 3), ()], [Calls(os.system, "touch /nowhere/at/all")]]
TEXTS = [pickle.dumps(value, protocol=protocol) for value in GOOD for protocol in PROTOCOLS]


def pieces(text):
    starts = [place for _, _, place in pickletools.genops(text)]
    return [text[start:stop] for start, stop in zip(starts, [*starts[1:], len(text)], strict=True)]


OPCODES = sorted({piece for text in TEXTS for piece in pieces(text)})


@QUICK
@given(some.binary(max_size=200), some.sampled_from([b"", b"\x80\x02", b"\x80\x04"]))
def test_any_bytes(text, begin):
    answered(begin + text)


@settings(QUICK, max_examples=400)
@given(some.sampled_from(TEXTS), some.data())
def test_pickles_with_bytes_changed(text, data):
    broken = bytearray(text)
    for _ in range(data.draw(some.integers(1, 4))):
        place = data.draw(some.integers(0, len(broken)))
        new, length = data.draw(some.binary(max_size=3)), data.draw(some.integers(0, 3))
        broken[place : place + length] = new
    answered(bytes(broken))


@settings(QUICK, max_examples=400)
@given(some.lists(some.sampled_from(OPCODES), max_size=30), some.sampled_from([b"\x80\x02", b"\x80\x05"]))
def test_opcodes_in_any_order(some_pieces, begin):
    answered(begin + b"".join(some_pieces) + b".")


@settings(QUICK, max_examples=300)
@given(some.sampled_from(TEXTS), some.data())
def test_opcodes_of_a_pickle_left_out_doubled_and_moved(text, data):
    parts = pieces(text)
    for _ in range(data.draw(some.integers(1, 3))):
        place, other = (data.draw(some.integers(0, len(parts) - 1)) for _ in range(2))
        parts[place : place + data.draw(some.integers(0, 2))] = [parts[other]]
    answered(b"".join(parts))
