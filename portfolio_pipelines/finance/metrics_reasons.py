"""Why a metric is null, as flags that many portfolios share and as words that people read.

Belongs here: the list of reasons. Where they arise is in `metrics`.
"""

from enum import IntFlag
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray


class Reason(IntFlag):
    """One bit a reason; several can hold at once."""

    INCOMPLETE_DAY = 1
    SHORT_HISTORY = 2
    INTERRUPTED = 4
    MISSING_DAYS = 8
    NOTHING_PUT_IN = 16
    SHORT_SPAN = 32
    ONE_SIGN = 64
    NO_RATE = 128
    SEVERAL_RATES = 256
    TOO_FEW_RETURNS = 512
    CONSTANT = 1024
    NO_LOSS = 2048
    NO_DRAWDOWN = 4096
    OTHER_WINDOW = 8192
    NO_TAIL = 16384


EVERYTHING: Final = Reason.INCOMPLETE_DAY | Reason.SHORT_HISTORY | Reason.INTERRUPTED
"""With one of these there is no figure at all."""

WORDS: Final = {
    Reason.INCOMPLETE_DAY: "all: a holding has no usable price on the day",
    Reason.SHORT_HISTORY: "all: the track record is shorter than the window",
    Reason.INTERRUPTED: "all: the track record was interrupted within the window",
    Reason.MISSING_DAYS: "risk figures: returns are missing within the window",
    Reason.NOTHING_PUT_IN: "roi: less than 1 USD was put in",
    Reason.SHORT_SPAN: "xirr: less than 90 days",
    Reason.ONE_SIGN: "xirr: nothing came back",
    Reason.NO_RATE: "xirr: no rate explains the flows",
    Reason.SEVERAL_RATES: "xirr: several rates explain the flows",
    Reason.TOO_FEW_RETURNS: "volatility, sharpe, sortino: fewer than two returns",
    Reason.CONSTANT: "sharpe: the returns are constant",
    Reason.NO_LOSS: "sortino: no day below the target",
    Reason.NO_DRAWDOWN: "calmar, drawdown dates: there was no drawdown",
    Reason.OTHER_WINDOW: "calmar: over 365 days only",
    Reason.NO_TAIL: "var_95, cvar_95: fewer than 60 returns",
}


def words_of(flags: NDArray[np.int32]) -> pl.Series:
    """The reasons as text, "; " between them; null where nothing is null for a reason."""
    found, place = np.unique(flags, return_inverse=True)
    texts = ["; ".join(text for reason, text in WORDS.items() if int(flag) & reason) or None for flag in found]
    return pl.Series("reason", texts, dtype=pl.String).gather(pl.Series(place.astype(np.uint32)))
