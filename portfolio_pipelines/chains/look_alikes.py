"""Texts that look like other texts: what a reader takes a token's symbol or name for.

Belongs here: the skeleton of a text, equal for texts that look alike. What follows from a resemblance is in `spam`.
The idea is that of Unicode's confusable skeletons (UTS 39); the table is our own and holds what imitates Latin letters.
"""

import re
import unicodedata
from functools import cache

# Each letter followed by the characters that pass for it, after case folding and compatibility normalisation.
_IMITATIONS = {
    "a": "аαɑᴀꭺ",
    "b": "ьвβƅᏼ",
    "c": "сϲᴄⅽꮯ",
    "d": "ԁժɗꮷ",
    "e": "еєεҽɛ℮ꬲ",
    "f": "ϝғſẝꞙ",
    "g": "ɡցԍǥ",
    "h": "һнհᏂ",
    "i": "іιɩıӏꭵ∣",
    "j": "јϳʝ",
    "k": "кκƙᴋ",
    "m": "мᴍ",
    "n": "пηոռɴ",
    "o": "оοσօᴏө◯○",
    "p": "рρᴘ",
    "q": "ԛգզ",
    "r": "гᴦꮁɼ",
    "s": "ѕꜱꮪƽ",
    "t": "тτᴛ₮",
    "u": "υцսᴜʋ",
    "v": "ѵνᴠ",
    "w": "ѡωԝɯᴡա",
    "x": "хχ×",
    "y": "уγүყ",
    "z": "ᴢʐ",
}
_SMALL_CAPITALS = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnopqrstuvwyz", strict=True))
_IN_SIGNS = {chr(first + place): chr(97 + place) for first in (0x1F150, 0x1F170) for place in range(26)}  # 🅐, 🅰
_LETTERS = str.maketrans(
    {imitation: letter for letter, all_ in _IMITATIONS.items() for imitation in all_} | _SMALL_CAPITALS | _IN_SIGNS
)
_DIGITS = str.maketrans({"0": "o", "1": "i", "|": "i", "!": "i", "5": "s", "$": "s"} | dict.fromkeys("._-*'`’", ""))
_PAIRS = (("rn", "m"), ("vv", "w"))
# In capitals a small l passes for I, among small letters a capital I or a 1 passes for l.
_SMALL_L = re.compile(r"(?<![a-z])l(?=[A-Z])|(?<=[A-Z])l(?![a-z])")
_CAPITAL_I = re.compile(r"(?<=[a-z])[I](?![A-Z])")
_ONE = re.compile(r"(?<=[a-z])[1|](?=[a-z])")
# Marks, and what is invisible or nothing but space; Hangul fillers are letters to Unicode and blank to the eye.
_UNSEEN = {"Mn", "Me", "Cf", "Cc", "Zs", "Zl", "Zp", "Cn", "Co", "Cs"}
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")


@cache
def skeleton(text: str) -> str:
    """The text as a hurried reader sees it: equal for texts that look alike.

    Case, accents, spaces, a dollar sign in front, full-width and mathematical letters, invisible characters, letters of
    other alphabets, and l and I in each other's place do not count.
    """
    seen = unicodedata.normalize("NFKD", text).strip().removeprefix("$")
    seen = _CAPITAL_I.sub("l", _SMALL_L.sub("I", seen))
    return "".join(
        character
        for character in unicodedata.normalize("NFKD", seen.casefold())
        if unicodedata.category(character) not in _UNSEEN and character not in _BLANK
    ).translate(_LETTERS)


@cache
def loose_skeleton(text: str) -> str:
    """As `skeleton`, but digits that pass for letters, dots and dashes, and rn for m do not count either.

    Honest tokens differ by no more than that now and then: USD0 and USDO are two.
    """
    plain = skeleton(_ONE.sub("l", text)).translate(_DIGITS)
    for pair, letter in _PAIRS:
        plain = plain.replace(pair, letter)
    return plain


def hides_characters(text: str) -> bool:
    """Whether the text has invisible characters: zero-width ones, direction marks, fillers, control characters.

    The joiner and the variation selector within emoji are no trick; the joiner beside a letter is.
    """
    for place, character in enumerate(text):
        if character == "\u200d":
            if any(near.isalnum() for near in text[max(place - 1, 0) : place + 2]):
                return True
        elif character in _BLANK or unicodedata.category(character) in ("Cf", "Cc", "Co", "Cn"):
            return True
    return False


def mixes_alphabets(text: str) -> bool:
    """Whether Latin letters stand in one word with letters of another alphabet that pass for Latin ones."""
    for word in text.split():
        letters = [character for character in word.casefold() if character.isalpha()]
        if any(c.isascii() for c in letters) and any(not c.isascii() and ord(c) in _LETTERS for c in letters):
            return True
    return False
