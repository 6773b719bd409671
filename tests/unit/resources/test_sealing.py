"""Secrets at rest: they open where they were sealed and nowhere else."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from portfolio_pipelines.resources.sealing import Sealer, SealingError
from portfolio_pipelines.settings import Settings

OLD, NEW = (base64.b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))


def sealer(*keys: str) -> Sealer:
    return Sealer.of(Settings(secrets_key=SecretStr(",".join(keys))))


def test_a_secret_opens_in_its_place_alone() -> None:
    sealed = sealer(OLD).seal("hunter2 ä", "channel 5 address")
    assert "hunter2" not in sealed
    assert sealer(OLD).open(sealed, "channel 5 address").get_secret_value() == "hunter2 ä"
    with pytest.raises(SealingError, match="changed, or sealed for another place"):
        sealer(OLD).open(sealed, "channel 6 address")


@pytest.mark.parametrize("change", [lambda text: text[:-4] + "AAAA", lambda text: text[:20], lambda text: text + "!"])
def test_a_changed_secret_does_not_open(change: object) -> None:
    assert callable(change)
    with pytest.raises(SealingError, match="changed"):
        sealer(OLD).open(change(sealer(OLD).seal("hunter2", "here")), "here")


def test_the_same_secret_never_looks_the_same() -> None:
    assert len({sealer(OLD).seal("hunter2", "here") for _ in range(100)}) == 100


def test_keys_rotate() -> None:
    before, between, after = sealer(OLD), sealer(NEW, OLD), sealer(NEW)
    sealed = before.seal("hunter2", "here")
    assert between.open(sealed, "here").get_secret_value() == "hunter2"
    assert not between.is_current(sealed)
    again = between.seal(between.open(sealed, "here"), "here")
    assert between.is_current(again)
    assert after.open(again, "here").get_secret_value() == "hunter2"
    with pytest.raises(SealingError, match=r"add that key to PORTFOLIO_SECRETS_KEY"):
        after.open(sealed, "here")


@pytest.mark.parametrize("key", ["", " , ", "hunter2", base64.b64encode(b"short").decode(), OLD + ",x"])
def test_a_key_that_makes_no_sense_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(SealingError, match="openssl rand -base64 32") as refused:
        sealer(key)
    assert "hunter2" not in str(refused.value)


def test_without_a_setting_one_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", secrets_key=None)
    with ThreadPoolExecutor(8) as pool:
        keys = {each.keys for each in pool.map(lambda _: Sealer.of(settings), range(8))}
    assert len(keys) == 1
    assert stat.S_IMODE((tmp_path / "home/secrets_key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["secrets_key"]


def test_neither_keys_nor_secrets_are_shown() -> None:
    made = sealer(OLD)
    assert repr(made.keys[0]) not in repr(made)
    assert "hunter2" not in repr(made.open(made.seal("hunter2", "here"), "here"))


def test_fingerprints_need_the_key() -> None:
    assert sealer(OLD).fingerprints("123", "here") == sealer(OLD).fingerprints("123", "here")
    assert sealer(NEW, OLD).fingerprints("123", "here")[1] == sealer(OLD).fingerprints("123", "here")[0]
    assert sealer(NEW).fingerprints("123", "here") != sealer(OLD).fingerprints("123", "here")
    assert sealer(NEW).fingerprints("123", "there") != sealer(NEW).fingerprints("123", "here")
