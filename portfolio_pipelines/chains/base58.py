"""Base 58, the spelling of Bitcoin's older addresses and of all on Solana. What the bytes mean is not known here.

No digit 0, no capital O and I, no small l: they look like others. Leading zero bytes are leading ones.
"""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
LONGEST = 128  # letters; an address has at most 44, and decoding is quadratic


def decode_base58(text: str) -> bytes:
    """The bytes of a base-58 text.

    Raises:
        ValueError: If a letter is not of the alphabet (with the letter and its place), or the text is longer than
            any address.
    """
    if len(text) > LONGEST:
        msg = f"{len(text)} letters are too many for an address"
        raise ValueError(msg)
    number = 0
    for place, letter in enumerate(text, 1):
        value = _VALUES.get(letter)
        if value is None:
            why = "it looks like another and is not used" if letter in "0OIl" else "not a letter of base 58"
            msg = f"letter {letter!r} at place {place}: {why}"
            raise ValueError(msg)
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def encode_base58(data: bytes) -> str:
    """The base-58 text of bytes; the inverse of `decode_base58`."""
    number = int.from_bytes(data, "big")
    letters: list[str] = []
    while number:
        number, value = divmod(number, 58)
        letters.append(ALPHABET[value])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(letters))
