"""The restricted reader: what a hostile pickle tries gives one clear error, quickly and in little memory."""

import collections
import io
import pickle
import struct
import time
import tracemalloc

import pytest
from helpers import archive, name, number, numbers, program, tensor, text

from diya.serialization import CheckpointError, load
from diya.serialization.tensors import TensorReader
from diya.serialization.unpickler import Unpickler


def run(pickle_bytes: bytes, storages=None):
    return load(io.BytesIO(archive(pickle_bytes, storages)))


def refused(pickle_bytes: bytes, message: str, storages=None):
    """The file is refused with the message, within a second and a few megabytes."""
    data = archive(pickle_bytes, storages)
    tracemalloc.start()
    begin = time.perf_counter()
    try:
        with pytest.raises(CheckpointError, match=message) as error:
            load(io.BytesIO(data))
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.perf_counter() - begin < 10
    assert peak < 200 * len(data) + (2 << 20)
    assert len(str(error.value)) < 1000
    return error.value


def plain(data: bytes):
    """Reads a pickle with no storages."""
    reader = TensorReader(lambda key: None, lambda key: None, lambda location: None)
    return Unpickler(data, reader.find_global, reader.persistent_load).load()


# -- what is allowed ---------------------------------------------------------------------------------------------------

VALUES = [None, True, [1, -1, 255, 256, 65536, 2**40, -(2**70)], 1.5, "ü", "x" * 300, b"", b"\0\xff" * 300, (), (1,),
          (1, 2),
          (1, 2, 3), (1, 2, 3, 4), {"a": [], "b": {}}, {1, 2}, set(), bytearray(b"abc"), bytearray(), 1 + 2j,
          collections.OrderedDict(a=1), collections.Counter("aab"), {(1, ("a", 2)): 3}]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_python_pickles_of_plain_values(protocol):
    for value in [*VALUES, VALUES]:
        got = plain(pickle.dumps(value, protocol))
        assert got == value and type(got) is type(value)


def test_identity():
    shared = [1]
    a, b, c = plain(pickle.dumps([shared, (shared,), {"x": shared}], 4))
    assert a is b[0] is c["x"]


# -- code --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("module", "function"), [
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("__builtin__", "eval"), ("builtins", "getattr"),
    ("builtins", "object"), ("collections", "namedtuple"), ("torch", "load"), ("torch._utils", "_import_dotted_name"),
    ("torch.jit", "load"), ("torch.nn.modules.linear", "Linear"), ("diya", "load"), ("", ""), ("a\0b", "ü")])
def test_names_are_refused_by_name(module, function):
    error = refused(program(name(module, function), b"(" + text("true") + b"tR"), "is not allowed")
    assert f"{module.replace('__builtin__', 'builtins')}.{function}" in str(error) or "\0" in module
    assert isinstance(error, pickle.UnpicklingError) and isinstance(error, RuntimeError)


def test_names_from_strings_are_refused_too():
    refused(program(text("os"), text("system"), b"\x93", b"(", text("true"), b"tR"), "os.system")
    refused(program(b"NN\x93"), "not a string")


def test_a_real_attack():
    class Attack:
        def __reduce__(self):
            return print, ("code was run",)
    for protocol in range(2, 6):
        refused(pickle.dumps({"weights": Attack()}, protocol), "builtins.print")


@pytest.mark.parametrize("code", [b"i", b"o", b"\x92", b"\x82\1", b"\x97", b"\x98", b"P0\n", b"I1\n", b"0",
                                  b"2", b"\xff"])
def test_other_instructions_are_refused(code):
    refused(program(b"N(", code), "not allowed")


@pytest.mark.parametrize("value", [b"N", b"K\1", text("x"), b"]", name("torch", "float32"), name("torch",
                                                                                                 "FloatStorage"),
                                   name("torch", "Tensor"), tensor()])
def test_only_functions_are_called(value):
    refused(program(value, b")R"), "calls")


def test_functions_are_not_values():
    for marker in (name("torch._utils", "_rebuild_tensor_v2"), name("torch", "FloatStorage"), name("torch", "Tensor")):
        refused(program(b"(", marker, b"N", b"t"), "may not stand for a value")
    storage = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + number(6) + b"tQ"
    refused(program(storage), "may not stand for a value")


def test_attributes():
    ordered = name("collections", "OrderedDict") + b")R"
    assert vars(run(program(ordered, b"}", text("_metadata"), b"]sb"))) == {"_metadata": []}
    for attribute in ("items", "__class__", "__dict__", "move_to_end"):
        refused(program(ordered, b"}", text(attribute), b"Nsb"), "may not be set")
    refused(program(ordered, b"}K\1Nsb"), "may not be set")
    refused(program(ordered, b"Nb"), "not a dict")
    for target in (b"]", b"}", tensor(), name("torch", "float32")):
        refused(program(target, b"}", text("x"), b"Nsb"), "attributes")


@pytest.mark.parametrize("attribute", ["_storage", "_type", "shape", "backward", "_fn", "__class__"])
def test_attributes_of_tensors(attribute):
    inner = tensor()
    at = inner.index(b"((") if b"((" in inner else 0
    function, args = inner[:at], inner[at:-1]
    made = (name("torch._tensor", "_rebuild_from_type_v2") + b"(" + function + name("torch", "Tensor") + args)
    assert run(program(made, b"}", text("tag"), b"K\5s", b"tR")).tag == 5
    refused(program(made, b"}", text(attribute), b"K\5s", b"tR"), "may not be set")
    # the dict is changed after it was looked at
    late = b"}q\1" + text("tag") + b"K\5s"
    changed = run(program(b"(", made, late, b"tRh\1", text(attribute), b"K\6st"))
    assert vars(changed[0]).get(attribute) != 6


# -- shape of the program ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("body", [b"", b".", b"a", b"s", b"u", b"e", b"t", b"(", b"(.", b"R", b"b", b"Q", b"\x85",
                                  b"\x86",
                                  b"\x87", b"K", b"q", b"h\0", b"j\0\0\0\0", b"X\xff\xff\xff\xff",
                                  b"\x8d" + b"\xff" * 8,
                                  b"\x8e" + b"\xff" * 8, b"\x96" + b"\xff" * 8, b"\x8a\xff", b"G\0", b"cos",
                                  b"cos\nsystem",
                                  b"NN", b"N.N", b"](Na", b"}(Nu", b"NNa", b"N(NNu", b"N(Ne", b"K\1K\2\x90",
                                  b"X\1\0\0\0\xff",
                                  b"\x8c\5abc", b"\x95\0", b"]NNs", b"r\0"])
def test_malformed(body):
    for data in (program(body), program(body)[:-1]):
        if data != program():
            refused(data, ".")


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\1N.", b"\x80\6N.", b"N.", b"\x80\2"])
def test_not_a_pickle(data):
    refused(data, "pickle")


# -- size and time -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("nest", "depth"), [(b"\x85", 10**5), (b"q\0]h\0a", 10**5)])
def test_deep_nesting(nest, depth):
    refused(program(b"()", nest * depth, b"t"), "nested")


def test_deep_marks():
    refused(program(b"(" * 10**5), "left over")
    refused(program(b"(" * 10**5, b"t" * 10**5), "nested")


def test_deep_keys():
    refused(program(b"})", b"\x85" * 10**5, b"Ns"), "key")
    refused(program(b"}K\1", b"q\0h\0\x86" * 100, b"Ns"), "key")  # 2**100 steps to hash
    refused(program(name("builtins", "set"), b"]K\1", b"q\0h\0\x86" * 100, b"a\x85R"), "key")


@pytest.mark.parametrize("key", [b"]", b"}", b"\x8f", number(1 << 64), b"(]t", name("torch", "float32"), tensor(),
                                 name("builtins", "complex") + b"G" + b"\0" * 8 + b"G" + b"\0" * 8 + b"\x86R"])
def test_keys(key):
    refused(program(b"}", key, b"Ns"), "key")
    refused(program(b"}(", key, b"Nu"), "key")
    refused(program(b"\x8f(", key, b"\x90"), "key")


def test_shared_structure_that_unfolds_without_end():
    refused(program(b"(]q\0", b"(h\0h\0tq\0" * 99, b"t"), "unfold")
    refused(program(b"(]", b"q\0]h\0ah\0a" * 99, b"t"), "unfold")
    assert len(run(program(b"(", b"]" * 1000, b"t"))) == 1000


def test_cycles():
    refused(program(b"]q\0h\0a"), "contains itself")
    refused(program(b"}q\0K\1h\0s"), "contains itself")
    refused(program(b"]q\0h\0\x85a"), "contains itself")
    refused(program(name("collections", "OrderedDict"), b")Rq\0}", text("_metadata"), b"h\0sb"), "contains itself")
    refused(program(name("collections", "Counter"), b"}\x85Rq\0K\1h\0s"), "contains itself")


@pytest.mark.parametrize("copy", [
    (text("x" * 10**4), name("_codecs", "encode") + b"q\1", b"h\1h\0h\2\x86R"),
    (b"(" + b"N" * 10**4 + b"t", name("torch", "Size") + b"q\1", b"h\1h\0\x85R"),
    (b"](" + b"K\1" * 10**4 + b"e", name("builtins", "set") + b"q\1", b"h\1h\0\x85R"),
    (b"}(" + b"".join(number(i) + b"N" for i in range(10**3)) + b"u", name("collections", "Counter") + b"q\1",
     b"h\1h\0\x85R"),
    (b"}(" + b"".join(text(f"{i}") + b"N" for i in range(10**3)) + b"u", name("collections", "OrderedDict") + b")Rq\1",
     b"h\1h\0b"),
])
def test_copies_of_what_is_remembered(copy):
    value, function, call = copy
    refused(program(b"(", value, b"q\0", function, text("latin1") + b"q\2", call * 10**4, b"t"),
            "makes far more|not made")


def test_tensors_from_remembered_arguments():
    made = tensor()
    refused(program(b"(", made[:-1], b"q\0", name("torch._utils", "_rebuild_tensor_v2"), b"q\1", b"h\1h\0R" * 10**4,
                    b"t"),
            "makes far more")


def test_tuples_of_one_hash():
    """Pairs of integers can be chosen to share a hash, and would make a dict of n cost n*n steps."""
    modulus = (1 << 61) - 1  # integers are hashed by this modulus
    assert len({hash((k * modulus,)) for k in range(4)}) == 1
    same = [(a * modulus, b * modulus, c * modulus) for a in range(-4, 4) for b in range(-4, 4) for c in range(-4, 4)]
    same = [t for t in same if hash(t) == hash((0, 0, 0))]
    assert len(same) > 64
    refused(program(b"}(", b"".join(numbers(*t) + b"N" for t in same), b"u"), "one hash")


def test_long_names_make_short_messages():
    refused(program(name("m" * 10**5, "n" * 10**5)), "mmm")
    refused(program(tensor(key="k" * 10**5)), "kkk")
    refused(program(tensor(location="cuda" * 10**5)), "cuda")


# -- tensors -----------------------------------------------------------------------------------------------------------

def test_views_that_fit():
    assert run(program(tensor(size=(), stride=()))).item() == 0
    assert run(program(tensor(size=(2,), stride=(1,), offset=4))).tolist() == [4, 5]
    assert run(program(tensor(size=(0, 5), stride=(5, 1)))).shape == (0, 5)
    assert run(program(tensor(size=(1 << 40, 6), stride=(0, 1)))).shape == (1 << 40, 6)
    assert run(program(tensor(size=(5, 2), stride=(1, 1)))).tolist()[4] == [4, 5]


@pytest.mark.parametrize(("forged", "message"), [
    ({"size": (2, 4), "stride": (4, 1)}, "outside"), ({"offset": 1}, "outside"), ({"offset": -1}, "wrong"),
    ({"stride": (4, 1)}, "outside"), ({"stride": (1 << 62, 1)}, "outside"), ({"stride": (-3, 1)}, "sizes"),
    ({"size": (-2, 3)}, "sizes"), ({"size": (1 << 62, 1 << 62), "stride": (0, 0)}, "outside"),
    ({"size": (1 << 100,), "stride": (0,)}, "sizes"), ({"size": (1 << 62, 0, 1 << 62), "stride": (0, 0, 0)}, "outside"),
    ({"size": (0,), "stride": (1,), "offset": 1 << 62}, "outside"), ({"offset": 1 << 70}, "outside"),
    ({"size": (2,)}, "wrong"), ({"size": (1,) * 65, "stride": (1,) * 65}, "at most 64"),
    ({"kind": "DoubleStorage"}, "should hold"), ({"kind": "HalfStorage"}, "should hold"), ({"numel": 7}, "should hold"),
    ({"numel": 5}, "should hold"), ({"numel": 1 << 62}, "should hold"), ({"numel": -1}, "wrong"),
    ({"kind": "LongStorage", "numel": 3, "size": (3,), "stride": (1,), "requires_grad": b"\x88"}, "gradient"),
    ({"kind": "QInt8Storage"}, "QInt8Storage.*dtype"), ({"kind": "Tensor"}, "storage type"),
    ({"key": "../../etc/passwd"}, "not in"),
    ({"key": "../data.pkl"}, "not in"), ({"key": ""}, "not in"), ({"location": "cuda:0"}, "map_location='cpu'"),
    ({"requires_grad": b"K\1"}, "wrong"), ({"hooks": b"N"}, ""), ({"hooks": b"}K\1Ns"}, "hooks"), ({"hooks": b"]"},
                                                                                                   "hooks"),
    ({"metadata": b"]"}, "metadata"), ({"metadata": b"}" + text("x") + b"Ns"}, "metadata"),
    ({"metadata": b"}" + text("conj") + b"\x88s", "size": (1 << 40, 6), "stride": (0, 1)}, "expands")])
def test_forged_tensors(forged, message):
    if message:
        refused(program(tensor(**forged)), message)
    else:
        assert run(program(tensor(**forged))).shape == (2, 3)


def test_forged_descriptions():
    kind = name("torch", "FloatStorage")
    for parts in ([], [text("module")] * 5, [text("storage"), kind, number(0), text("cpu"), number(6)],
                  [text("storage"), kind, text("0"), number(0), number(6)],
                  [text("storage"), kind, text("0"), text("cpu"), b"\x88"],
                  [text("storage"), b"N", text("0"), text("cpu"), number(6)]):
        refused(program(b"(", *parts, b"tQ"), "storage")
    refused(program(b"NQ"), "storage")
    for view in (b"N", b"]", text("0"), kind, tensor()):
        refused(program(name("torch._utils", "_rebuild_tensor"), b"(", view, b"K\0))tR"), "not of a storage")


@pytest.mark.parametrize(("function", "args"), [
    (("torch._utils", "_rebuild_tensor_v2"), b")"), (("torch._utils", "_rebuild_parameter"), b"NNN\x87"),
    (("torch._utils", "_rebuild_parameter"), tensor() + b"K\1N\x87"), (("torch._tensor", "_rebuild_from_type_v2"),
                                                                       b"(NNNNt"),
    (("torch", "Size"), b"N\x85"), (("torch", "Size"), b"N\x85\x85"), (("torch", "device"), b"K\0\x85"),
    (("torch", "device"), text("toaster") + b"\x85"), (("torch", "device"), text("cpu:-1") + b"\x85"),
    (("torch", "device"), text("cuda") + b"]\x86"), (("_codecs", "encode"), text("x") + text("rot13") + b"\x86"),
    (("_codecs", "encode"), text("x") + b"\x85"), (("builtins", "bytes"), number(1 << 40) + b"\x85"),
    (("_codecs", "encode"), text("\u20ac") + text("latin1") + b"\x86"),
    (("builtins", "bytearray"), number(1 << 40) + b"\x85"), (("builtins", "set"), text("abc") + b"\x85"),
    (("builtins", "complex"), text("1") + text("2") + b"\x86"), (("collections", "Counter"), b"]\x85"),
    (("collections", "OrderedDict"), b"]\x85")])
def test_forged_arguments(function, args):
    refused(program(name(*function), args, b"R"), ".")
    refused(program(name(*function), b"]R"), "wrong number")


def test_one_storage_of_many_tensors_is_read_once():
    whole = b"\1" * (1 << 20)
    data = archive(program(b"(", tensor(size=(1,), stride=(1,), numel=1 << 18) * 1000, b"t"), {"0": whole})
    tracemalloc.start()
    assert len(load(io.BytesIO(data))) == 1000
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_big_endian_floats_are_not_confused():
    assert plain(program(b"G" + struct.pack(">d", 2.5))) == 2.5


def test_one_storage_as_two_dtypes():
    """PyTorch writes this only for storages that are no whole number of elements; each tensor is as it says."""
    a, b = run(program(b"(", tensor(kind="DoubleStorage", numel=0, size=(0,), stride=(1,)),
                       tensor(kind="ByteStorage", numel=6, size=(6,), stride=(1,)), b"t"), {"0": b"\1\2\3\4\5\6"})
    assert a.shape == (0,) and b.tolist() == [1, 2, 3, 4, 5, 6]
    whole, part = run(program(b"(", tensor(), tensor(kind="IntStorage", size=(2,), stride=(1,)), b"t"))
    assert whole.tolist() == [[0, 1, 2], [3, 4, 5]] and part.tolist() == [0, 0x3F800000]
