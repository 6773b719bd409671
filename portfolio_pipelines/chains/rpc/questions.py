"""What can be asked of a node, and what is known about a question before it is asked.

Belongs here: which methods only read, what form their results have, which block they are about. No I/O.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# Only these are repeated, hedged and asked elsewhere. Whatever is not named here might change something (a sent
# transaction, a mined block of a local chain), so it goes out once.
READS: Final = frozenset(
    [
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_createAccessList",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getBlockReceipts",
        "eth_getBlockTransactionCountByHash",
        "eth_getBlockTransactionCountByNumber",
        "eth_getCode",
        "eth_getLogs",
        "eth_getProof",
        "eth_getStorageAt",
        "eth_getTransactionByBlockHashAndIndex",
        "eth_getTransactionByBlockNumberAndIndex",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "eth_simulateV1",
        "eth_syncing",
        "net_version",
        "web3_clientVersion",
        "debug_traceBlockByNumber",
        "debug_traceCall",
        "debug_traceTransaction",
        "trace_block",
        "trace_call",
        "trace_filter",
        "trace_transaction",
    ]
)

_QUANTITY: Final = "quantity"
_DATA: Final = "data"
_LIST: Final = "list"
_OBJECT: Final = "object"
_OBJECT_OR_NULL: Final = "object or null"

_FORMS: Final = {
    "eth_blockNumber": _QUANTITY,
    "eth_chainId": _QUANTITY,
    "eth_estimateGas": _QUANTITY,
    "eth_gasPrice": _QUANTITY,
    "eth_getBalance": _QUANTITY,
    "eth_getTransactionCount": _QUANTITY,
    "eth_maxPriorityFeePerGas": _QUANTITY,
    "eth_call": _DATA,
    "eth_getCode": _DATA,
    "eth_getStorageAt": _DATA,
    "eth_getLogs": _LIST,
    "eth_feeHistory": _OBJECT,
    "eth_getBlockByHash": _OBJECT_OR_NULL,
    "eth_getBlockByNumber": _OBJECT_OR_NULL,
    "eth_getTransactionByHash": _OBJECT_OR_NULL,
    "eth_getTransactionReceipt": _OBJECT_OR_NULL,
}

_QUANTITY_FORM: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA_FORM: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")

# Where the block stands among the parameters.
_BLOCK_PLACE: Final = {
    "eth_call": 1,
    "eth_createAccessList": 1,
    "eth_estimateGas": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getStorageAt": 2,
    "eth_getProof": 2,
    "eth_getBlockByNumber": 0,
    "eth_getBlockReceipts": 0,
    "eth_getBlockTransactionCountByNumber": 0,
    "debug_traceBlockByNumber": 0,
    "debug_traceCall": 1,
    "trace_block": 0,
    "trace_call": 2,
}


@dataclass(frozen=True, slots=True)
class Question:
    """One request, without its id.

    Args:
        method: JSON-RPC method.
        params: Its parameters, JSON-able.
        as_bytes: Whether the result, hex data, is wanted as bytes (cheaper for megabytes).
    """

    method: str
    params: Sequence[Any]
    as_bytes: bool = False

    @property
    def is_read(self) -> bool:
        """Whether asking twice changes nothing."""
        return self.method in READS

    @property
    def overrides_code(self) -> bool:
        """Whether the call replaces code at an address."""
        return self.method == "eth_call" and len(self.params) > 2

    @property
    def is_deployless(self) -> bool:
        """Whether the call runs creation code instead of a contract."""
        return self.method == "eth_call" and isinstance(self.params[0], Mapping) and "to" not in self.params[0]

    @property
    def log_range(self) -> tuple[int, int] | None:
        """First and last block of a search for logs, where both are numbers."""
        if self.method != "eth_getLogs" or not self.params or not isinstance(self.params[0], Mapping):
            return None
        first, last = (_number(self.params[0].get(key)) for key in ("fromBlock", "toBlock"))
        return None if first is None or last is None else (first, last)

    @property
    def block(self) -> int | None:
        """The newest block that a node must have to answer, where the question names one by number."""
        if self.method == "eth_getLogs":
            return None if self.log_range is None else self.log_range[1]
        place = _BLOCK_PLACE.get(self.method)
        return None if place is None or len(self.params) <= place else _number(self.params[place])

    def fault_of(self, result: Any) -> str | None:
        """What is wrong with the form of a result; None when it can be one."""
        form = _FORMS.get(self.method)
        if form is None:
            return None
        if form == _QUANTITY:
            right = isinstance(result, str) and _QUANTITY_FORM.fullmatch(result) is not None
        elif form == _DATA:
            right = isinstance(result, str) and _DATA_FORM.fullmatch(result) is not None
        elif form == _LIST:
            right = isinstance(result, list) and all(isinstance(item, dict) for item in result)
        else:
            right = isinstance(result, dict) or (result is None and form == _OBJECT_OR_NULL)
        if right:
            return None
        kind = "null" if result is None else type(result).__name__
        return f"{self.method} gave {kind} where a {form} belongs"


def _number(value: Any) -> int | None:
    if not isinstance(value, str) or not _QUANTITY_FORM.fullmatch(value):
        return None
    return int(value, 16)
