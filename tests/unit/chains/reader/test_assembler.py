import re

import pytest

from portfolio_pipelines.chains.reader.assembler import OPERATIONS, AssemblyError, assemble
from portfolio_pipelines.chains.reader.program import SOURCE, reader_program


def disassembled(code: bytes) -> list[tuple[int, str | int]]:
    """Places and what stands there: the name of an operation, or the number of a push."""
    names = {byte: name for name, byte in OPERATIONS.items()} | {0x5B: "jumpdest"}
    at, found = 0, []
    while at < len(code):
        start, byte = at, code[at]
        at += 1
        if 0x60 <= byte <= 0x7F:
            size = byte - 0x5F
            assert at + size <= len(code), "a push reaches beyond the end"
            found.append((start, int.from_bytes(code[at : at + size], "big")))
            at += size
        else:
            found.append((start, names[byte]))
    return found


def test_a_program_is_the_bytes_an_engineer_would_write_by_hand() -> None:
    source = """
        constant SLOT 7          ; a comment: with @every kind of NAME and 0x12
        again:
            SLOT sload 0x0100 mstore8
            calldatasize iszero @again jumpi
            SIZE 0 codecopy stop
    """
    assert assemble(source).hex() == "5b6007546101005336156100005761001560003900"


def test_the_reader_is_its_source_word_by_word() -> None:
    """Every word of the file, read here by other rules than the assembler's, stands in the program at its place."""
    lines = [line.split(";")[0] for line in SOURCE.read_text("utf-8").splitlines()]
    constants = dict(re.findall(r"constant\s+(\w+)\s+(\w+)", "\n".join(lines)))
    words = " ".join(line for line in lines if not line.startswith("constant")).split()
    code = disassembled(reader_program())
    assert len(code) == len(words)
    places = {word[:-1]: place for word, (place, _) in zip(words, code, strict=True) if word.endswith(":")}
    for word, (_, item) in zip(words, code, strict=True):
        if word.endswith(":"):
            assert item == "jumpdest"
        elif word.startswith("@"):
            assert item == places[word[1:]]
        elif word == "SIZE":
            assert item == len(reader_program())
        elif isinstance(item, int):
            assert item == int(constants.get(word, word), 0)
        else:
            assert item == word


def test_the_reader_runs_on_chains_that_have_not_followed_the_newest_upgrades() -> None:
    code = reader_program()
    shanghai, cancun = {0x5F}, {0x49, 0x4A, 0x5C, 0x5D, 0x5E}
    assert not {code[place] for place, _ in disassembled(code)} & (shanghai | cancun)


def test_the_gas_of_a_token_can_be_chosen_and_what_must_be_left_follows() -> None:
    pushed = {item for _, item in disassembled(reader_program(1_000_000)) if isinstance(item, int)}
    assert {1_000_000, 1_041_250} <= pushed
    assert 250_000 not in pushed
    with pytest.raises(ValueError, match="limit of 0"):
        reader_program(0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("stop\nmlaod", "line 2: 'mlaod' is no operation"),
        ("@nowhere jump", "line 1: there is no place nowhere"),
        ("here: here:", "line 1: here is defined twice"),
        ("constant A 1 constant A 2", "A is defined twice"),
        ("constant SIZE 1", "SIZE is defined twice"),
        ("constant a 1", "a constant is written"),
        ("constant A", "a constant is written"),
        ("push0", "'push0' is no operation"),
        ("0x1" + "00" * 32, "needs more than 32 bytes"),
    ],
)
def test_a_fault_in_the_source_names_its_line(source: str, message: str) -> None:
    with pytest.raises(AssemblyError, match=message):
        assemble(source)


def test_a_constant_that_the_source_does_not_have_cannot_be_replaced() -> None:
    with pytest.raises(AssemblyError, match="defines no OTHER"):
        assemble("constant A 1 A", {"OTHER": 2})
