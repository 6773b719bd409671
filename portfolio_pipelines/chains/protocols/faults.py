"""What of a protocol could not be read.

Belongs here: the error, and how one market's failure is kept from the others.
"""


class PositionFault(RuntimeError):  # noqa: N818 (collected as often as raised)
    """Positions of one place of a protocol are unknown. Unknown is not zero.

    Args:
        chain: Name of the chain.
        protocol: As in `Position.protocol`.
        place: Address of the pool, market or collection.
        message: What happened, in words.
        name: The place's name for people, where it has one.
        wallet: Whose position it is; None when nobody's could be read there.
        token: Which token of the place, when the others are known.
    """

    def __init__(
        self,
        chain: str,
        protocol: str,
        place: str,
        message: str,
        *,
        name: str = "",
        wallet: str | None = None,
        token: str | None = None,
    ) -> None:
        where = " ".join(filter(None, (protocol, name, place)))
        what = f", token {token}" if token else ""
        whose = f", wallet {wallet}" if wallet else ""
        super().__init__(f"{chain}: {where}{what}{whose}: {message}")
        self.chain = chain
        self.protocol = protocol
        self.place = place
        self.message = message
        self.name = name
        self.wallet = wallet
        self.token = token


class Faults:
    """Where the faults of one reading go: into the caller's list, or up.

    Args:
        chain: Name of the chain.
        protocol: As in `Position.protocol`.
        collected: The caller's list; None to raise the first fault instead.
    """

    def __init__(self, chain: str, protocol: str, collected: list[PositionFault] | None) -> None:
        self.chain = chain
        self.protocol = protocol
        self._collected = collected

    def add(
        self, place: str, message: str, *, name: str = "", wallet: str | None = None, token: str | None = None
    ) -> None:
        """Note a fault.

        Raises:
            PositionFault: If nobody collects them.
        """
        fault = PositionFault(self.chain, self.protocol, place, message, name=name, wallet=wallet, token=token)
        if self._collected is None:
            raise fault
        self._collected.append(fault)
