"""Sealing of secrets that have to be stored: AES-256-GCM, bound to the place they were sealed for.

Belongs here: the keys and the sealing. What is sealed, and where it is stored, is decided by the callers. A sealed text
is `key id . nonce and ciphertext`; moved to another row or column it cannot be opened.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from portfolio_pipelines.settings import Settings

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
"""The length that NIST SP 800-38D names for GCM; drawn anew for each text."""
KEY_FILE: Final = "secrets_key"


class SealingError(RuntimeError):
    """A key is missing or makes no sense, or a sealed text was moved or changed; the message says what to do."""


@dataclass(frozen=True)
class Sealer:
    """Seals with the first key, opens with any of them.

    Attributes:
        keys: 32 bytes each, the newest first.
        source: Where they come from, for messages.
    """

    keys: tuple[bytes, ...] = field(repr=False)
    source: str

    @classmethod
    def of(cls, settings: Settings) -> "Sealer":
        """The keys of PORTFOLIO_SECRETS_KEY, else the one in `secrets_key` in the home folder, made when missing.

        Raises:
            SealingError: If a key is not 32 bytes in base64. The message does not repeat it.
        """
        if settings.secrets_key is not None:
            source = "PORTFOLIO_SECRETS_KEY"
            return cls(_parsed(settings.secrets_key.get_secret_value(), source), source)
        path = settings.home.absolute() / KEY_FILE
        if not path.is_file():
            _make_key(path)
        return cls(_parsed(path.read_text(), str(path)), str(path))

    def seal(self, text: SecretStr | str, place: str) -> str:
        """Encrypt a text for one place, such as "channel 5 address"."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        plain = text.get_secret_value() if isinstance(text, SecretStr) else text
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(self.keys[0]).encrypt(nonce, plain.encode(), place.encode())
        return f"{_key_id(self.keys[0])}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, place: str) -> SecretStr:
        """Decrypt what was sealed for the place.

        Raises:
            SealingError: If its key is not among ours, or it was sealed for another place or changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id, _, content = sealed.partition(".")
        key = next((key for key in self.keys if _key_id(key) == key_id), None)
        if key is None:
            msg = (
                f"the secret of {place} was sealed with key {key_id}, which {self.source} does not hold: add that key "
                "to PORTFOLIO_SECRETS_KEY behind a comma, or enter the secret again"
            )
            raise SealingError(msg)
        try:
            raw = base64.b64decode(content, validate=True)
            return SecretStr(AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], place.encode()).decode())
        except (InvalidTag, binascii.Error, ValueError) as error:
            msg = f"the secret of {place} was changed, or sealed for another place: enter it again"
            raise SealingError(msg) from error

    def is_current(self, sealed: str) -> bool:
        """Whether the newest key sealed it."""
        return sealed.partition(".")[0] == _key_id(self.keys[0])

    def fingerprints(self, text: str, place: str) -> tuple[str, ...]:
        """Keyed hashes of a text, one for each key, the newest first: whoever reads them cannot try all short codes."""
        return tuple(
            hmac.new(_derived(key, "fingerprint"), f"{place}\0{text}".encode(), hashlib.sha256).hexdigest()
            for key in self.keys
        )


def _parsed(text: str, source: str) -> tuple[bytes, ...]:
    keys = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            key = base64.b64decode(part, altchars=b"-_" if {"-", "_"} & set(part) else None, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            msg = f"{source} must hold keys of {KEY_BYTES} bytes in base64, such as `openssl rand -base64 32` makes"
            raise SealingError(msg)
        keys.append(key)
    if not keys:
        msg = f"{source} holds no key: `openssl rand -base64 32` makes one"
        raise SealingError(msg)
    return tuple(keys)


def _make_key(path: Path) -> None:
    """Make the file with a new key, unless another process is quicker: a key that sealed something must never go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(beside)  # fails when there is one, unlike a rename
        except FileExistsError:
            return
    finally:
        beside.unlink(missing_ok=True)


def _key_id(key: bytes) -> str:
    return _derived(key, "id").hex()[:8]


def _derived(key: bytes, purpose: str) -> bytes:
    return hmac.new(key, f"portfolio {purpose}".encode(), hashlib.sha256).digest()
