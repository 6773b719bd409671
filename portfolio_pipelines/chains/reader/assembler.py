"""A small assembler for the Ethereum virtual machine: readable text in, bytes out, the same bytes every time.

Belongs here: the language. Programs are `.easm` files; how one is called and answered is in `encoding`.

The language, one item after the other, separated by white space:

    ; a comment, to the end of the line
    constant NAME 32      a number with a name (upper case)
    start:                a place to jump to (a JUMPDEST stands there)
    @start                pushes the address of that place
    32, 0x20, NAME        pushes a number, in the fewest bytes that hold it
    SIZE                  pushes the length of the whole program
    mload                 any other word is an operation, by its name in the yellow paper

PUSH0 is not used: chains that have not followed the Shanghai upgrade do not know it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

OPERATIONS: Final[Mapping[str, int]] = (
    {
        "stop": 0x00, "add": 0x01, "mul": 0x02, "sub": 0x03, "div": 0x04, "mod": 0x06, "lt": 0x10, "gt": 0x11,
        "eq": 0x14, "iszero": 0x15, "and": 0x16, "or": 0x17, "xor": 0x18, "not": 0x19, "byte": 0x1A, "shl": 0x1B,
        "shr": 0x1C, "keccak256": 0x20, "address": 0x30, "balance": 0x31, "caller": 0x33, "callvalue": 0x34,
        "calldataload": 0x35, "calldatasize": 0x36, "calldatacopy": 0x37, "codesize": 0x38, "codecopy": 0x39,
        "extcodesize": 0x3B, "returndatasize": 0x3D, "returndatacopy": 0x3E, "timestamp": 0x42, "number": 0x43,
        "pop": 0x50, "mload": 0x51, "mstore": 0x52, "mstore8": 0x53, "sload": 0x54, "sstore": 0x55, "jump": 0x56,
        "jumpi": 0x57, "gas": 0x5A, "call": 0xF1, "return": 0xF3, "staticcall": 0xFA, "revert": 0xFD, "invalid": 0xFE,
    }
    | {f"dup{depth}": 0x7F + depth for depth in range(1, 17)}
    | {f"swap{depth}": 0x8F + depth for depth in range(1, 17)}
)  # fmt: skip
JUMPDEST: Final = 0x5B
PUSH1: Final = 0x60
WORD_BYTES: Final = 32
ADDRESS_BYTES: Final = 2  # of a place in the program: room for 65,535 bytes, more than code may have

_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]+|[0-9]+")
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_LABEL: Final = re.compile(r"([a-z][a-z0-9_]*):")
_PLACE: Final = re.compile(r"@([a-z][a-z0-9_]*)")


class AssemblyError(ValueError):
    """The source says something that the assembler does not understand; the message names the line."""


@dataclass(frozen=True, slots=True)
class _Push:
    """Two bytes that are known only when all lengths are: a place, or the length of the program (place None)."""

    place: str | None
    line: int


def assemble(source: str, constants: Mapping[str, int] | None = None) -> bytes:
    """The bytes of a program.

    Args:
        source: Text in the language above.
        constants: Values that take the place of those the source gives to the same names.

    Raises:
        AssemblyError: If a word is unknown, a name is defined twice or never, or a number needs more than 32 bytes.
    """
    replaced = dict(constants or {})
    named: dict[str, int] = {}
    places: dict[str, int] = {}
    parts: list[bytes | _Push] = []
    length = 0
    words = _words(source)
    for line, word in words:
        part: bytes | _Push
        if word == "constant":
            name, value = _constant(words, line)
            if name in named or name == "SIZE":
                raise _fault(line, f"{name} is defined twice")
            named[name] = replaced.pop(name, value)
            continue
        if label := _LABEL.fullmatch(word):
            if label[1] in places:
                raise _fault(line, f"{label[1]} is defined twice")
            places[label[1]] = length
            part = bytes([JUMPDEST])
        elif place := _PLACE.fullmatch(word):
            part = _Push(place[1], line)
        elif word == "SIZE":
            part = _Push(None, line)
        elif _NUMBER.fullmatch(word):
            part = _push(int(word, 0), line)
        elif word in named:
            part = _push(named[word], line)
        elif word in OPERATIONS:
            part = bytes([OPERATIONS[word]])
        else:
            raise _fault(line, f"{word!r} is no operation, constant or number")
        parts.append(part)
        length += len(part) if isinstance(part, bytes) else 1 + ADDRESS_BYTES
    if replaced:
        msg = f"the source defines no {', '.join(sorted(replaced))}"
        raise AssemblyError(msg)
    return b"".join(part if isinstance(part, bytes) else _address(part, places, length) for part in parts)


def _words(source: str) -> Iterator[tuple[int, str]]:
    for line, text in enumerate(source.splitlines(), start=1):
        for word in text.split(";", 1)[0].split():
            yield line, word


def _constant(words: Iterator[tuple[int, str]], line: int) -> tuple[str, int]:
    _, name = next(words, (line, ""))
    _, value = next(words, (line, ""))
    if not _NAME.fullmatch(name) or not _NUMBER.fullmatch(value):
        raise _fault(line, "a constant is written: constant NAME 32")
    return name, int(value, 0)


def _push(value: int, line: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    if size > WORD_BYTES:
        raise _fault(line, f"{value:#x} needs more than {WORD_BYTES} bytes")
    return bytes([PUSH1 + size - 1]) + value.to_bytes(size, "big")


def _address(push: _Push, places: Mapping[str, int], length: int) -> bytes:
    if push.place is None:
        target = length
    elif push.place in places:
        target = places[push.place]
    else:
        raise _fault(push.line, f"there is no place {push.place}")
    return bytes([PUSH1 + ADDRESS_BYTES - 1]) + target.to_bytes(ADDRESS_BYTES, "big")


def _fault(line: int, message: str) -> AssemblyError:
    return AssemblyError(f"line {line}: {message}")
