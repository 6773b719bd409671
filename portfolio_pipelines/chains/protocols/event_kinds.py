"""The events that are understood: who emits them, their declaration, their topic 0.

Belongs here: one line an event, as its contract declares it. How a log becomes an event is `events`.

An event is known by topic 0 and by the number of its indexed arguments: an ERC-20 and an ERC-721 `Transfer` share
their topic 0 and differ only there. Forks of a protocol (Sushiswap of Uniswap v2, Aave v2 where nothing changed) emit
the same logs: whether a contract is the protocol's own is for the registry to say, not for its logs.
"""

import re
from typing import Final, NamedTuple


class Field(NamedTuple):
    """One argument of an event."""

    name: str
    type: str  # "address", "bool", "uint256", "int24", …
    word: int  # which 32-byte word of (topics after the first) + data


class EventKind(NamedTuple):
    """An event of one protocol."""

    protocol: str
    name: str
    topic0: str  # 0x and 64 lower-case hex digits
    indexed: int  # topics after the first
    words: int  # 32-byte words of data
    fields: tuple[Field, ...]  # indexed ones first, each group in the order of the declaration
    signature: str  # what topic 0 is the keccak-256 hash of


# Names and types as in the contracts' sources; topic 0 is written out so that nothing has to be hashed at import.
_DECLARATIONS: Final = {
    "erc20": """
        0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef
            Transfer(address indexed from, address indexed to, uint256 value)
        0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925
            Approval(address indexed owner, address indexed spender, uint256 value)
    """,
    "erc721": """
        0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef
            Transfer(address indexed from, address indexed to, uint256 indexed tokenId)
        0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925
            Approval(address indexed owner, address indexed approved, uint256 indexed tokenId)
    """,
    "weth": """
        0xe1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c
            Deposit(address indexed dst, uint256 wad)
        0x7fcf532c15f0a6db0bd6d0e038bea71d30d808c7d98cb3bf7268a95bf5081b65
            Withdrawal(address indexed src, uint256 wad)
    """,
    "univ2_pair": """
        0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822
            Swap(address indexed sender, uint256 amount0In, uint256 amount1In, uint256 amount0Out, uint256 amount1Out,
                address indexed to)
        0x4c209b5fc8ad50758f13e2e1088ba56a560dff690a1c6fef26394f4c03821c4f
            Mint(address indexed sender, uint256 amount0, uint256 amount1)
        0xdccd412f0b1252819cb1fd330b93224ca42612892bb3f4f789976e6d81936496
            Burn(address indexed sender, uint256 amount0, uint256 amount1, address indexed to)
        0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1
            Sync(uint112 reserve0, uint112 reserve1)
    """,
    "univ3_pool": """
        0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67
            Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1, uint160
                sqrtPriceX96, uint128 liquidity, int24 tick)
        0x7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde
            Mint(address sender, address indexed owner, int24 indexed tickLower, int24 indexed tickUpper, uint128
                amount, uint256 amount0, uint256 amount1)
        0x0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c
            Burn(address indexed owner, int24 indexed tickLower, int24 indexed tickUpper, uint128 amount, uint256
                amount0, uint256 amount1)
        0x70935338e69775456a85ddef226c395fb668b63fa0115f5f20610b388e6ca9c0
            Collect(address indexed owner, address recipient, int24 indexed tickLower, int24 indexed tickUpper,
                uint128 amount0, uint128 amount1)
    """,
    "univ3_nfpm": """
        0x3067048beee31b25b2f1681f88dac838c8bba36af25bfb2b7cf7473a5847e35f
            IncreaseLiquidity(uint256 indexed tokenId, uint128 liquidity, uint256 amount0, uint256 amount1)
        0x26f6a048ee9138f2c0ce266f322cb99228e8d619ae2bff30c67f8dcf9d2377b4
            DecreaseLiquidity(uint256 indexed tokenId, uint128 liquidity, uint256 amount0, uint256 amount1)
        0x40d0efd1a53d60ecbf40971b9daf7dc90178c3aadc7aab1765632738fa8b8f01
            Collect(uint256 indexed tokenId, address recipient, uint256 amount0, uint256 amount1)
    """,
    "aave_v3": """
        0x2b627736bca15cd5381dcf80b0bf11fd197d01a037c52b927a881a10fb73ba61
            Supply(address indexed reserve, address user, address indexed onBehalfOf, uint256 amount, uint16 indexed
                referralCode)
        0x3115d1449a7b732c986cba18244e897a450f61e1bb8d589cd2e69e6c8924f9f7
            Withdraw(address indexed reserve, address indexed user, address indexed to, uint256 amount)
        0xb3d084820fb1a9decffb176436bd02558d15fac9b0ddfed8c465bc7359d7dce0
            Borrow(address indexed reserve, address user, address indexed onBehalfOf, uint256 amount, uint8
                interestRateMode, uint256 borrowRate, uint16 indexed referralCode)
        0xa534c8dbe71f871f9f3530e97a74601fea17b426cae02e1c5aee42c96c784051
            Repay(address indexed reserve, address indexed user, address indexed repayer, uint256 amount, bool
                useATokens)
        0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286
            LiquidationCall(address indexed collateralAsset, address indexed debtAsset, address indexed user, uint256
                debtToCover, uint256 liquidatedCollateralAmount, address liquidator, bool receiveAToken)
        0x804c9b842b2748a22bb64b345453a3de7ca54a6ca45ce00d415894979e22897a
            ReserveDataUpdated(address indexed reserve, uint256 liquidityRate, uint256 stableBorrowRate, uint256
                variableBorrowRate, uint256 liquidityIndex, uint256 variableBorrowIndex)
    """,
    "compound_v3": """
        0xd1cf3d156d5f8f0d50f6c122ed609cec09d35c9b9fb3fff6ea0959134dae424e
            Supply(address indexed from, address indexed dst, uint256 amount)
        0x9b1bfa7fa9ee420a16e124f794c35ac9f90472acc99140eb2f6447c714cad8eb
            Withdraw(address indexed src, address indexed to, uint256 amount)
        0xfa56f7b24f17183d81894d3ac2ee654e3c26388d17a28dbd9549b8114304e1f4
            SupplyCollateral(address indexed from, address indexed dst, address indexed asset, uint256 amount)
        0xd6d480d5b3068db003533b170d67561494d72e3bf9fa40a266471351ebba9e16
            WithdrawCollateral(address indexed src, address indexed to, address indexed asset, uint256 amount)
        0x29db89d45e1a802b4d55e202984fce9faf1d30aedf86503ff1ea0ed9ebb64201
            TransferCollateral(address indexed from, address indexed to, address indexed asset, uint256 amount)
        0x1547a878dc89ad3c367b6338b4be6a65a5dd74fb77ae044da1e8747ef1f4f62f
            AbsorbDebt(address indexed absorber, address indexed borrower, uint256 basePaidOut, uint256 usdValue)
        0x9850ab1af75177e4a9201c65a2cf7976d5d28e40ef63494b44366f86b2f9412e
            AbsorbCollateral(address indexed absorber, address indexed borrower, address indexed asset, uint256
                collateralAbsorbed, uint256 usdValue)
    """,
}


def parse_declaration(protocol: str, topic0: str, declaration: str) -> EventKind:
    """The event of a declaration such as `Transfer(address indexed from, address indexed to, uint256 value)`.

    Only static types: an event with arrays, bytes or strings cannot be described here.

    Raises:
        ValueError: If the declaration is not one of static arguments.
    """
    whole = re.fullmatch(r"(\w+)\(([^()]*)\)", declaration)
    arguments = (
        [re.fullmatch(r"(address|bool|u?int\d+)( indexed)? (\w+)", a) for a in whole[2].split(", ")] if whole else []
    )
    if whole is None or not all(arguments):
        msg = f"not an event of static arguments: {declaration}"
        raise ValueError(msg)
    parts = [(a[3], a[1], a[2] is not None) for a in arguments if a]
    ordered = [part for part in parts if part[2]] + [part for part in parts if not part[2]]
    indexed = sum(part[2] for part in parts)
    return EventKind(
        protocol=protocol,
        name=whole[1],
        topic0=topic0,
        indexed=indexed,
        words=len(parts) - indexed,
        fields=tuple(Field(name, kind, word) for word, (name, kind, _) in enumerate(ordered)),
        signature=f"{whole[1]}({','.join(part[1] for part in parts)})",
    )


EVENT_KINDS: Final = tuple(
    parse_declaration(protocol, topic0, " ".join(declaration.split()))
    for protocol, text in _DECLARATIONS.items()
    for topic0, declaration in re.findall(r"(0x[0-9a-f]{64})\s+(\w+\([^)]*\))", text)
)
