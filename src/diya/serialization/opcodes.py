"""The instructions of the pickle language that state dicts need (described in CPython's Lib/pickletools.py).

Protocol 2 is what PyTorch writes; the later instructions are other spellings of the same values.
"""

PROTO = b"\x80"             # version byte
STOP = b"."
MARK = b"("                 # begins a run of items
FRAME = b"\x95"             # 8-byte length of what follows, a reading hint

NONE = b"N"
NEWTRUE = b"\x88"
NEWFALSE = b"\x89"
BININT = b"J"               # int32
BININT1 = b"K"              # uint8
BININT2 = b"M"              # uint16
LONG1 = b"\x8a"             # a length byte, then a little-endian two's complement integer
BINFLOAT = b"G"             # big-endian float64
BINUNICODE = b"X"           # uint32 length, UTF-8
SHORT_BINUNICODE = b"\x8c"  # uint8 length
BINUNICODE8 = b"\x8d"       # uint64 length
BINBYTES = b"B"
SHORT_BINBYTES = b"C"
BINBYTES8 = b"\x8e"
BYTEARRAY8 = b"\x96"

EMPTY_TUPLE = b")"
TUPLE = b"t"                # of the items since the mark
TUPLE1 = b"\x85"
TUPLE2 = b"\x86"
TUPLE3 = b"\x87"
EMPTY_LIST = b"]"
APPEND = b"a"
APPENDS = b"e"
EMPTY_DICT = b"}"
SETITEM = b"s"
SETITEMS = b"u"
EMPTY_SET = b"\x8f"
ADDITEMS = b"\x90"

BINPUT = b"q"               # remember the top of the stack under a number
LONG_BINPUT = b"r"
MEMOIZE = b"\x94"           # the same under the next number
BINGET = b"h"
LONG_BINGET = b"j"

GLOBAL = b"c"               # a name: module, newline, name, newline
STACK_GLOBAL = b"\x93"      # the same from two strings
REDUCE = b"R"               # call a name with a tuple
NEWOBJ = b"\x81"           # make an object of a class, without arguments
BUILD = b"b"                # give an object its attributes
BINPERSID = b"Q"            # a storage, by its description
