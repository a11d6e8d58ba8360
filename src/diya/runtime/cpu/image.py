"""Object code made position-independent: one block of bytes that runs wherever it is copied to.

A small static linker for the relocatable ELF objects that LLVM writes for x86-64 and AArch64. Sections are laid out in
one block and everything inside it is resolved when the code is compiled, so loading is a copy: no LLVM, no symbol
resolution but for the few C functions (memcpy ...) that LLVM may call.

Formats: System V ABI, x86-64 supplement, section 4.4; ELF for the Arm 64-bit Architecture (IHI 0056), section 5.7.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

FORMAT = "image 1"  # changes with what `pack` writes or `link` makes
_ALLOC, _WRITE = 2, 1
_X86_64, _AARCH64 = 62, 183
_THUNK = {_X86_64: b"\xff\x25\x02\x00\x00\x00\x66\x90",  # jmp [rip + 2]; nop; then the address
          _AARCH64: struct.pack("<II", 0x58000050, 0xD61F0200)}  # ldr x16, #8; br x16; then the address


class Image(NamedTuple):
    """``code`` to be mapped at a page boundary. ``symbols``: name -> offset of a function. ``externals``: (offset,
    name) of 8-byte words that take the address of a C function. ``bases``: (offset, target) of those that take an
    address of the block itself.
    """

    code: bytes
    symbols: dict[str, int]
    externals: tuple[tuple[int, str], ...]
    bases: tuple[tuple[int, int], ...]

    def pack(self) -> bytes:
        lines = [f"S {name} {at}" for name, at in self.symbols.items()]
        lines += [f"X {name} {at}" for at, name in self.externals]
        lines += [f"B {to} {at}" for at, to in self.bases]
        head = "\n".join(lines).encode()
        return struct.pack("<Q", len(head)) + head + self.code

    @staticmethod
    def unpack(data: bytes) -> Image:
        (size,) = struct.unpack_from("<Q", data)
        symbols, externals, bases = {}, [], []
        for line in data[8:8 + size].decode().split("\n"):
            kind, name, at = line.split(" ")
            if kind == "S":
                symbols[name] = int(at)
            elif kind == "X":
                externals.append((int(at), name))
            else:
                bases.append((int(at), int(name)))
        return Image(data[8 + size:], symbols, tuple(externals), tuple(bases))


class _Section(NamedTuple):
    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


class _Symbol(NamedTuple):
    name: str
    kind: int
    section: int
    value: int


def link(elf: bytes) -> Image:
    """The image of an object file. Raises NotImplementedError for what kernels must not hold: writable data, and
    relocations that a position-independent block cannot resolve."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise NotImplementedError("object code is not 64-bit little-endian ELF")
    machine = struct.unpack_from("<H", elf, 18)[0]
    if machine not in _THUNK:
        raise NotImplementedError(f"linking of ELF machine {machine}")
    sections = _sections(elf)
    place, size = {}, 0
    for i, s in enumerate(sections):
        if s.flags & _ALLOC and s.size and s.name != ".eh_frame":  # generated code does not unwind
            if s.flags & _WRITE:
                raise NotImplementedError(f"writable data ({s.name}) in generated code")
            place[i] = size = -(-size // max(s.align, 1)) * max(s.align, 1)
            size += s.size
    block = bytearray(size)
    for i, at in place.items():
        if sections[i].type != 8:  # NOBITS
            block[at:at + sections[i].size] = elf[sections[i].offset:sections[i].offset + sections[i].size]
    table = next(s for s in sections if s.type == 2)
    symbols = _symbols(elf, table, sections[table.link])
    linker = _Linker(machine, block, place, symbols)
    for s in sections:
        if s.type == 4 and s.info in place:
            for k in range(s.size // 24):
                at, info, addend = struct.unpack_from("<QQq", elf, s.offset + 24 * k)
                linker.relocate(place[s.info] + at, info & 0xFFFFFFFF, symbols[info >> 32], addend)
    functions = {s.name: place[s.section] + s.value for s in symbols if s.kind == 0x12 and s.section in place}
    return Image(bytes(block), functions, tuple(linker.externals), tuple(linker.bases))


def _sections(elf: bytes) -> list[_Section]:
    (start,) = struct.unpack_from("<Q", elf, 40)
    size, count, names_at = struct.unpack_from("<HHH", elf, 58)
    rows = [struct.unpack_from("<IIQQQQIIQQ", elf, start + i * size) for i in range(count)]
    names = rows[names_at][4]
    return [_Section(_string(elf, names + r[0]), r[1], r[2], r[4], r[5], r[6], r[7], r[8], r[9]) for r in rows]


def _symbols(elf: bytes, table: _Section, strings: _Section) -> list[_Symbol]:
    found = []
    for k in range(table.size // 24):
        name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", elf, table.offset + 24 * k)
        found.append(_Symbol(_string(elf, strings.offset + name), info, section, value))
    return found


def _string(elf: bytes, at: int) -> str:
    return elf[at:elf.index(b"\0", at)].decode()


class _Linker:
    """Applies relocations to a block; adds thunks for calls that leave it and slots for addresses held in tables."""

    def __init__(self, machine: int, block: bytearray, place: dict[int, int], symbols: list[_Symbol]):
        self.machine, self.block, self.place = machine, block, place
        self.externals: list[tuple[int, str]] = []
        self.bases: list[tuple[int, int]] = []
        self.thunks: dict[str, int] = {}
        self.slots: dict[tuple[str, int], int] = {}

    def relocate(self, at: int, kind: int, symbol: _Symbol, addend: int) -> None:
        rule = (self._x86_64 if self.machine == _X86_64 else self._aarch64)(at, kind, symbol, addend)
        if not rule:
            raise NotImplementedError(f"relocation {kind} of ELF machine {self.machine} ({symbol.name or 'local'})")

    def _target(self, symbol: _Symbol) -> int:
        """Where the symbol is in the block; for a C function, where a thunk that jumps to it is."""
        if symbol.section in self.place:
            return self.place[symbol.section] + symbol.value
        if symbol.section != 0:
            raise NotImplementedError(f"symbol {symbol.name!r} lies in data that generated code must not hold")
        if symbol.name not in self.thunks:
            self.thunks[symbol.name] = self._append(_THUNK[self.machine])
            self.externals.append((self._append(bytes(8)), symbol.name))
        return self.thunks[symbol.name]

    def _slot(self, symbol: _Symbol) -> int:
        """Where the block holds the symbol's address (an entry of the global offset table)."""
        key = (symbol.name, symbol.section)
        if key not in self.slots:
            self.slots[key] = at = self._append(bytes(8))
            if symbol.section == 0:
                self.externals.append((at, symbol.name))
            else:
                self.bases.append((at, self._target(symbol)))
        return self.slots[key]

    def _append(self, data: bytes) -> int:
        self.block += bytes(-len(self.block) % 8)
        self.block += data
        return len(self.block) - len(data)

    def _x86_64(self, at: int, kind: int, symbol: _Symbol, addend: int) -> bool:
        if kind in (2, 4):  # PC32, PLT32
            struct.pack_into("<i", self.block, at, self._target(symbol) + addend - at)
        elif kind in (9, 41, 42):  # GOTPCREL, GOTPCRELX, REX_GOTPCRELX
            struct.pack_into("<i", self.block, at, self._slot(symbol) + addend - at)
        elif kind == 24:  # PC64
            struct.pack_into("<q", self.block, at, self._target(symbol) + addend - at)
        elif kind == 1:  # 64
            self.bases.append((at, self._target(symbol) + addend))
        else:
            return False
        return True

    def _aarch64(self, at: int, kind: int, symbol: _Symbol, addend: int) -> bool:
        scale = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}.get(kind)  # ADD, LDST8 ... LDST128 _ABS_LO12_NC
        if kind == 257:  # ABS64
            self.bases.append((at, self._target(symbol) + addend))
        elif kind in (260, 261):  # PREL64, PREL32
            struct.pack_into("<q" if kind == 260 else "<i", self.block, at, self._target(symbol) + addend - at)
        elif kind in (282, 283):  # JUMP26, CALL26
            self._merge(at, (self._target(symbol) + addend - at) >> 2, 26, 0)
        elif kind in (275, 311):  # ADR_PREL_PG_HI21, ADR_GOT_PAGE: the block starts a page, so page distances are known
            to = (self._slot(symbol) if kind == 311 else self._target(symbol)) + addend
            self._adr(at, (to >> 12) - (at >> 12))
        elif kind == 274:  # ADR_PREL_LO21
            self._adr(at, self._target(symbol) + addend - at)
        elif kind == 312:  # LD64_GOT_LO12_NC
            self._merge(at, ((self._slot(symbol) + addend) & 0xFFF) >> 3, 12, 10)
        elif scale is not None:
            self._merge(at, ((self._target(symbol) + addend) & 0xFFF) >> scale, 12, 10)
        else:
            return False
        return True

    def _merge(self, at: int, value: int, bits: int, shift: int) -> None:
        (word,) = struct.unpack_from("<I", self.block, at)
        struct.pack_into("<I", self.block, at, word | (value & ((1 << bits) - 1)) << shift)

    def _adr(self, at: int, value: int) -> None:
        self._merge(at, value & 3, 2, 29)
        self._merge(at, value >> 2, 19, 5)
