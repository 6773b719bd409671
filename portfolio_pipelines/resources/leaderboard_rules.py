"""What an operator may choose about the leaderboard, and the key of its pseudonyms.

Belongs here: choices as the assets see them, and where the key lies. The rules that nobody chooses are in
`finance.leaderboard`.
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from portfolio_pipelines.finance.counted_holdings import CountsFrom
from portfolio_pipelines.resources.files import appears_whole
from portfolio_pipelines.settings import Settings

KEY_FILE: Final = "leaderboard_key"
KEY_BYTES: Final = 32


@dataclass(frozen=True)
class LeaderboardRules:
    """The choices of one installation. Nothing is read or made before the key is used."""

    home: Path
    given_key: SecretStr | None
    counts_from: CountsFrom = "entry"
    least_sources: int = 2  # providers that must agree before a price counts as confirmed
    bucket_users: int = 10  # ranked users that share a bucket of worth

    @classmethod
    def of(cls, settings: Settings) -> "LeaderboardRules":
        """The choices that the settings hold."""
        return cls(
            settings.home.absolute(),
            settings.leaderboard_key,
            settings.leaderboard_counts_from,
            settings.leaderboard_least_sources,
            settings.leaderboard_bucket_users,
        )

    @cached_property
    def key(self) -> SecretStr:
        """The secret behind the pseudonyms: the setting, else one that was made once and lies in the home folder.

        The file is readable by its owner only. Whoever loses it gets other pseudonyms; whoever reads it can tell which
        user each of them is.
        """
        if self.given_key is not None:
            return self.given_key
        path = self.home / KEY_FILE
        if not path.is_file():
            with appears_whole(path) as beside:
                descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as file:
                    file.write(secrets.token_hex(KEY_BYTES))
        text = path.read_text().strip()
        if len(text) < KEY_BYTES:
            msg = f"{path} holds no key: delete it to have a new one made, which changes all pseudonyms"
            raise ValueError(msg)
        return SecretStr(text)

    @property
    def key_bytes(self) -> bytes:
        """The key as HMAC takes it. Never log it."""
        return self.key.get_secret_value().encode()

    @property
    def key_fingerprint(self) -> str:
        """Tells one key from another, and says nothing else of it."""
        return hmac.new(self.key_bytes, b"fingerprint of the key", hashlib.sha256).hexdigest()[:32]
