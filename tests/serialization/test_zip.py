"""The container: what it writes others read, and what is wrong with a file is found before it is believed."""

import io
import struct
import tracemalloc
import zipfile

import pytest
from helpers import archive, program, tensor

from diya.serialization import CheckpointError, load, zip_reader, zip_writer
from diya.serialization.source import StreamSource
from diya.serialization.zip_reader import ZipReader

GOOD = archive(program(tensor()))


def loads(data: bytes):
    return load(io.BytesIO(data))


def refused(data: bytes, message: str):
    with pytest.raises(CheckpointError, match=message):
        loads(data)


def patched(data: bytes, at: int, layout: str, *values) -> bytes:
    data = bytearray(data)
    struct.pack_into(layout, data, at, *values)
    return bytes(data)


def directory_of(data: bytes, name: str) -> int:
    """Where the directory's record of an entry begins."""
    return data.rindex(b"archive/" + name.encode()) - 46


def test_good():
    assert loads(GOOD).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("limit16", [0xFFFF, 3])
@pytest.mark.parametrize("limit32", [0xFFFFFFFF, 100])
def test_64_bit_fields(monkeypatch, limit16, limit32):
    monkeypatch.setattr(zip_writer, "LIMIT32", limit32)
    monkeypatch.setattr(zip_writer, "LIMIT16", limit16)
    monkeypatch.setattr(zip_reader, "_LIMIT32", limit32)
    stream = io.BytesIO()
    writer = zip_writer.ZipWriter(stream, "archive")
    content = {"small": b"abc", "large": b"x" * 1000, "empty": b"", "after": bytes(range(256))}
    for name, data in content.items():
        writer.add(name, data)
    writer.close()
    data = stream.getvalue()
    assert (b"PK\6\6" in data) == (limit32 == 100 or limit16 == 3)
    reader = ZipReader(StreamSource(io.BytesIO(data)))
    assert {n: reader.read(f"archive/{n}") for n in content} == content
    assert reader.array("archive/large").tobytes() == content["large"]


def test_zipfile_reads_the_64_bit_end(monkeypatch):
    monkeypatch.setattr(zip_writer, "LIMIT16", 1)
    data = archive(program(tensor()))
    with zipfile.ZipFile(io.BytesIO(data)) as file:  # checks counts and offsets of both end records
        assert file.testzip() is None
    assert loads(data).shape == (2, 3)


@pytest.mark.parametrize("n", [0, 1, 4, 21, 22, 60, 100, len(GOOD) // 2, len(GOOD) - 100, len(GOOD) - 22,
                               len(GOOD) - 1])
def test_truncated(n):
    refused(GOOD[:n], "cut short|empty|not a PyTorch|damaged|no directory")


def test_trailing_bytes():
    refused(GOOD + b"\0", "end of the file|no directory")


@pytest.mark.parametrize("part", ["data.pkl", "data/0"])
def test_damaged_content(part):
    start = GOOD.index(b"archive/" + part.encode())
    start += -start % 64 if part == "data.pkl" else 0
    with zipfile.ZipFile(io.BytesIO(GOOD)) as file:
        at = GOOD.index(file.read(f"archive/{part}"))
    refused(patched(GOOD, at + 5, "B", GOOD[at + 5] ^ 1), "checksum")


@pytest.mark.parametrize(("offset", "layout", "value", "message"), [
    (8, "<H", 1, "encrypted"), (10, "<H", 8, "disagrees"), (20, "<L", 23, "damaged"), (24, "<L", 1 << 31, "damaged"),
    (16, "<L", 1, "disagrees"), (34, "<H", 1, "part"), (42, "<L", 0, "disagrees"), (42, "<L", 1 << 31, "outside"),
    (20, "<2L", (1 << 31, 1 << 31), "disagrees|outside"), (20, "<2L", (0xFFFFFFFF,) * 2, "64-bit"),
    (0, "<L", 0, "damaged"), (28, "<H", 0, "plain relative path|disagrees|damaged"), (28, "<H", 60000, "damaged"),
    (30, "<H", 60000, "damaged")])
def test_forged_directory(offset, layout, value, message):
    values = value if isinstance(value, tuple) else (value,)
    refused(patched(GOOD, directory_of(GOOD, "data/0") + offset, layout, *values), message)


@pytest.mark.parametrize(("offset", "layout", "value", "message"), [
    (4, "<H", 1, "parts"), (8, "<H", 3, "parts"), (12, "<L", 1 << 31, "damaged"), (16, "<L", 1 << 31, "damaged"),
    (20, "<H", 5, "end of the file"), (8, "<2H", (100, 100), "cut short"), (8, "<2H", (1, 1), "more than its entries")])
def test_forged_end(offset, layout, value, message):
    values = value if isinstance(value, tuple) else (value,)
    refused(patched(GOOD, len(GOOD) - 22 + offset, layout, *values), message)


def zipped(*entries: tuple[str, bytes], method=zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, data in entries:
            file.writestr(zipfile.ZipInfo(name), data, method)
    return stream.getvalue()


def test_written_by_zipfile():
    pickle = program(tensor())
    from helpers import FLOATS
    entries = [("x/data.pkl", pickle), ("x/data/0", FLOATS), ("x/version", b"3")]
    assert loads(zipped(*entries)).shape == (2, 3)
    refused(zipped(*entries, method=zipfile.ZIP_DEFLATED), "compressed")


def test_a_bomb_is_not_unpacked():
    bomb = zipped(("x/data.pkl", b"\0" * (1 << 24)), ("x/version", b"3"), method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20000
    refused(bomb, "compressed")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "x/../../y", "x\\y", "a/../b"])
def test_names_that_leave_the_folder(path):
    refused(zipped((path, b""), ("x/data.pkl", b"")), "relative path")


def test_two_entries_of_one_name():
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zipped(("x/version", b"3"), ("x/version", b"4"))
    refused(data, "two entries")


def test_overlapping_entries():
    """Two names for the same bytes, which a quoted zip bomb uses thousands of times."""
    data = bytearray(zipped(("x/version", b"3"), ("x/data.pkl", b"N" * 20)))
    end = data.rindex(b"PK\5\6")
    first = data.index(b"PK\1\2")
    record = data[first:first + 46 + len("x/version")]
    data[end:end] = record.replace(b"x/version", b"x/versioo")
    struct.pack_into("<2HL", data, len(data) - 22 + 8, 3, 3, end - first + len(record))
    refused(bytes(data), "disagrees|overlap")
    whole = bytearray(zipped(("x/a", b"-" * 100), ("x/b", b"+")))
    second = whole.rindex(b"PK\1\2")
    inside = whole.index(b"-" * 100) + 10
    header = whole.index(b"PK\3\4", 1)
    whole[inside:inside + 34] = whole[header:header + 34]  # a header inside of another entry's bytes
    struct.pack_into("<L", whole, second + 42, inside)
    refused(bytes(whole), "overlap")


def test_entries_in_the_directory():
    data = bytearray(GOOD)
    at = directory_of(GOOD, "byteorder")
    header = GOOD.index(b"PK\3\4", 1)
    header = GOOD.rindex(b"PK\3\4")
    struct.pack_into("<2L", data, at + 20, 5000, 5000)
    struct.pack_into("<2L", data, header + 18, 5000, 5000)
    refused(bytes(data), "outside|disagrees")


@pytest.mark.parametrize("numel", [1 << 18, 1 << 20, 1 << 40, 1 << 60])
@pytest.mark.parametrize("size", [1 << 20, 1 << 22, 1 << 31, 0xFFFFFFFF])
def test_no_more_memory_than_the_file_has(numel, size):
    data = archive(program(tensor(numel=numel)), {"0": b"\1" * (1 << 20)})
    at = directory_of(data, "data/0")
    data = patched(data, at + 20, "<2L", size, size)
    data = patched(data, data.index(b"archive/data/0") - 12, "<2L", size, size)
    tracemalloc.start()
    try:
        if numel == 1 << 18 and size == 1 << 20:
            assert loads(data).shape == (2, 3)
        else:
            refused(data, "should hold|outside|64-bit|damaged")
        assert tracemalloc.get_traced_memory()[1] < len(data) + (1 << 18)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("entries", "message"), [
    ({"version": b"99"}, "version"), ({"version": b"\xb2"}, "version"), ({"version": b"9" * 10000}, "version"),
    ({"byteorder": b"big"}, "byte order"), ({"constants.pkl": b""}, "TorchScript")])
def test_format(entries, message):
    refused(archive(program(tensor()), **entries), message)


def test_missing_entries():
    refused(zipped(("x/version", b"3")), "data.pkl")
    refused(zipped(("x/data.pkl", b"N.")), "version")
    refused(archive(program(tensor(key="9"))), "'9' is not in the archive")


@pytest.mark.parametrize(("data", "message"), [
    (b"", "empty"), (b"hello, world", "not a PyTorch checkpoint"), (b"\x80\x04N.", "pickle"),
    (b"PK\3\4", "cut short|no directory"),
    (b"\0" * 257 + b"ustar" + b"\0" * 300, "before 0.2")])
def test_other_files(data, message):
    refused(data, message)
