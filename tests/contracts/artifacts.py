"""Contracts as their packages ship them: load, link, deploy, call.

Addresses are lower-case text everywhere, amounts are int, bytes are bytes; a struct may be given as a mapping.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.install import installed

Abi = list[dict[str, Any]]


@dataclass(frozen=True)
class Artifact:
    """A compiled contract that is not deployed."""

    name: str
    abi: Abi
    code: str  # creation code in hex without 0x; holes where libraries go
    links: Mapping[str, Sequence[int]] = field(default_factory=dict)  # library -> offsets of its address, in bytes

    def linked(self, libraries: Mapping[str, str]) -> bytes:
        """Creation code with the addresses of its libraries.

        Raises:
            KeyError: If a library is missing.
        """
        code = self.code
        for library, offsets in self.links.items():
            address = libraries[library].removeprefix("0x")
            for offset in offsets:
                code = code[: 2 * offset] + address + code[2 * offset + 40 :]
        return bytes.fromhex(code)


@cache
def artifact(path: str) -> Artifact:
    """An artifact of an installed package, in the form of Hardhat or of Waffle.

    Args:
        path: Below `node_modules`, for example `@uniswap/v2-core/build/UniswapV2Pair.json`.
    """
    file = installed() / "node_modules" / path
    content = json.loads(file.read_text())
    links = {
        library: [place["start"] for place in places]
        for libraries in content.get("linkReferences", {}).values()
        for library, places in libraries.items()
    }
    return Artifact(file.stem, content["abi"], content["bytecode"].removeprefix("0x"), links)


class Contract:
    """A contract at an address of a chain."""

    def __init__(self, chain: Anvil, address: str, abi: Abi) -> None:
        self.chain = chain
        self.address = address.lower()
        self.abi = abi

    def encode(self, function: str, *arguments: Any) -> bytes:
        """Calldata. `function` is a name, or a signature where several functions share the name."""
        entry = self._entry(function, len(arguments))
        types = [canonical(item) for item in entry["inputs"]]
        values = [plain(item, value) for item, value in zip(entry["inputs"], arguments, strict=True)]
        return keccak(f"{entry['name']}({','.join(types)})".encode())[:4] + encode(types, values)

    def decode(self, function: str, answer: bytes, arguments: int | None = None) -> Any:
        """The answer of a function: the value when there is one, else a tuple."""
        values = decode([canonical(item) for item in self._entry(function, arguments)["outputs"]], answer)
        return values[0] if len(values) == 1 else values

    def call(self, function: str, *arguments: Any, sender: str | None = None, block: int | None = None) -> Any:
        """What a function answers, now or at an earlier block; also of functions that would change something."""
        answer = self.chain.call(self.address, self.encode(function, *arguments), sender=sender, block=block)
        return self.decode(function, answer, len(arguments))

    def calls(self, function: str, arguments: Sequence[Sequence[Any]], block: int | None = None) -> list[Any]:
        """The same function with many arguments, in few requests."""
        requests = [
            ("eth_call", self.chain.call_parameters(self.address, self.encode(function, *each), block=block))
            for each in arguments
        ]
        count = len(arguments[0]) if arguments else None
        return [self.decode(function, bytes.fromhex(answer[2:]), count) for answer in self.chain.batch(requests)]

    def send(
        self, function: str, *arguments: Any, sender: str | None = None, value: int = 0, gas: int | None = None
    ) -> dict[str, Any]:
        """Send a transaction; its receipt."""
        return self.chain.send(self.address, self.encode(function, *arguments), sender=sender, value=value, gas=gas)

    def _entry(self, function: str, arguments: int | None) -> dict[str, Any]:
        found = [
            entry
            for entry in self.abi
            if entry["type"] == "function"
            and (function in (entry["name"], signature(entry)))
            and (arguments is None or len(entry["inputs"]) == arguments)
        ]
        if not found:
            msg = f"no function {function} with {arguments} arguments"
            raise LookupError(msg)
        return found[0]


def deploy(
    chain: Anvil, what: Artifact, *arguments: Any, libraries: Mapping[str, str] | None = None, sender: str | None = None
) -> Contract:
    """Deploy a contract with the arguments of its constructor."""
    inputs: list[dict[str, Any]] = next((entry["inputs"] for entry in what.abi if entry["type"] == "constructor"), [])
    values = [plain(item, value) for item, value in zip(inputs, arguments, strict=True)]
    encoded = encode([canonical(item) for item in inputs], values)
    receipt = chain.send(None, what.linked(libraries or {}) + encoded, sender=sender)
    return Contract(chain, receipt["contractAddress"], what.abi)


def place_multicall3(chain: Anvil) -> None:
    """Put Multicall3 at the address that it has on most chains."""
    source = (installed() / "node_modules" / "viem" / "constants" / "contracts.ts").read_text()
    found = re.search(r"multicall3Bytecode\s*=\s*'0x([0-9a-f]+)'", source)
    if found is None:
        msg = "viem no longer ships the code of Multicall3"
        raise LookupError(msg)
    runtime = chain.rpc("eth_call", {"data": "0x" + found.group(1)}, "latest")  # what its constructor would leave
    chain.set_code(MULTICALL3, bytes.fromhex(runtime[2:]))


def signature(entry: Mapping[str, Any]) -> str:
    """Canonical signature of a function or event, for example `transfer(address,uint256)`."""
    return f"{entry['name']}({','.join(canonical(item) for item in entry['inputs'])})"


def canonical(item: Mapping[str, Any]) -> str:
    """ABI type of a parameter with its structs written out as tuples."""
    kind = str(item["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(canonical(part) for part in item['components'])}){kind.removeprefix('tuple')}"


def plain(item: Mapping[str, Any], value: Any) -> Any:
    """A value as the encoder wants it: structs given as mappings become tuples."""
    kind = str(item["type"])
    if kind == "tuple" and isinstance(value, Mapping):
        return tuple(plain(part, value[part["name"]]) for part in item["components"])
    if kind.startswith("tuple[") and not isinstance(value, Mapping):
        return [plain({**item, "type": "tuple"}, each) for each in value]
    return value
