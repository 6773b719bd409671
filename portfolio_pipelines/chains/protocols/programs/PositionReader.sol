// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// Reads the Uniswap v3 positions of many wallets, with everything that their amounts and fees depend on, in one call.
///
/// It is never deployed: an eth_call puts its code at an unused address for the time of the call (state override).
/// The compiled code lies beside it as PositionReader.hex; a test compiles this file and compares.
///
/// The answer is an array of words without offsets: time of the block, whether the manager is a contract, the wallet
/// and the index at which to go on (the number of wallets when all are done), the number of records, the records.
contract PositionReader {
    uint256 private constant WORDS = 26; // of a record
    uint256 private constant HEAD_WORDS = 5;
    uint256 private constant GAS_OF_A_POSITION = 400_000; // measured: 40,000; the rest is for chains that count higher
    uint256 private constant GAS_OF_A_WALLET = 100_000; // balanceOf

    /// @param manager The NonfungiblePositionManager.
    /// @param factory The factory of the pools.
    /// @param wallets Owners, 20 bytes each.
    /// @param index The first position to read of the first wallet.
    /// @param most Records that the answer may have.
    function read(Manager manager, Factory factory, bytes calldata wallets, uint256 index, uint256 most) external view {
        uint256[] memory answer = new uint256[](HEAD_WORDS + most * WORDS);
        uint256 count = wallets.length / 20;
        uint256 records;
        uint256 wallet;
        answer[0] = block.timestamp;
        if (address(manager).code.length == 0) {
            count = 0;
        } else {
            answer[1] = 1;
        }
        while (wallet < count && gasleft() > GAS_OF_A_WALLET + GAS_OF_A_POSITION) {
            address owner = address(bytes20(wallets[wallet * 20:wallet * 20 + 20]));
            uint256 owned = manager.balanceOf(owner);
            while (index < owned && records < most && gasleft() > GAS_OF_A_POSITION) {
                uint256 at = HEAD_WORDS + records * WORDS;
                answer[at] = wallet;
                answer[at + 1] = manager.tokenOfOwnerByIndex(owner, index);
                _describe(manager, factory, answer, at);
                index++;
                records++;
            }
            if (index < owned) break;
            wallet++;
            index = 0;
        }
        answer[2] = wallet;
        answer[3] = index;
        answer[4] = records;
        assembly ("memory-safe") {
            return(add(answer, 32), mul(add(HEAD_WORDS, mul(records, WORDS)), 32))
        }
    }

    /// Fills a record. What it needs in between is forgotten: memory stays as small as the answer.
    function _describe(Manager manager, Factory factory, uint256[] memory answer, uint256 at) private view {
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        Manager.Recorded memory own = manager.positions(answer[at + 1]);
        answer[at + 2] = uint160(own.token0);
        answer[at + 3] = uint160(own.token1);
        answer[at + 4] = own.fee;
        answer[at + 5] = uint256(int256(own.tickLower));
        answer[at + 6] = uint256(int256(own.tickUpper));
        answer[at + 7] = own.liquidity;
        answer[at + 8] = own.inside0;
        answer[at + 9] = own.inside1;
        answer[at + 10] = own.owed0;
        answer[at + 11] = own.owed1;
        Pool pool = factory.getPool(own.token0, own.token1, own.fee);
        answer[at + 12] = uint160(address(pool));
        Pool.Price memory price = pool.slot0();
        answer[at + 13] = price.sqrtPrice;
        answer[at + 14] = uint256(int256(price.tick));
        // An emptied position earns nothing; what it is owed stands in its record.
        if (own.liquidity != 0) {
            answer[at + 15] = pool.feeGrowthGlobal0X128();
            answer[at + 16] = pool.feeGrowthGlobal1X128();
            Pool.Bound memory bound = pool.ticks(own.tickLower);
            answer[at + 17] = bound.outside0;
            answer[at + 18] = bound.outside1;
            bound = pool.ticks(own.tickUpper);
            answer[at + 19] = bound.outside0;
            answer[at + 20] = bound.outside1;
        }
        // The pool keeps one record for all positions of the manager in a range. It rounds down more often than they.
        Pool.Recorded memory all =
            pool.positions(keccak256(abi.encodePacked(address(manager), own.tickLower, own.tickUpper)));
        answer[at + 21] = all.liquidity;
        answer[at + 22] = all.inside0;
        answer[at + 23] = all.inside1;
        answer[at + 24] = all.owed0;
        answer[at + 25] = all.owed1;
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }
}

interface Manager {
    struct Recorded {
        uint96 nonce;
        address operator;
        address token0;
        address token1;
        uint24 fee;
        int24 tickLower;
        int24 tickUpper;
        uint128 liquidity;
        uint256 inside0;
        uint256 inside1;
        uint128 owed0;
        uint128 owed1;
    }

    function balanceOf(address owner) external view returns (uint256);
    function tokenOfOwnerByIndex(address owner, uint256 index) external view returns (uint256);
    function positions(uint256 tokenId) external view returns (Recorded memory);
}

interface Factory {
    function getPool(address token0, address token1, uint24 fee) external view returns (Pool);
}

interface Pool {
    // The first values of what these functions return; the decoder leaves the rest alone.
    struct Price {
        uint160 sqrtPrice;
        int24 tick;
    }

    struct Bound {
        uint128 liquidityGross;
        int128 liquidityNet;
        uint256 outside0;
        uint256 outside1;
    }

    struct Recorded {
        uint128 liquidity;
        uint256 inside0;
        uint256 inside1;
        uint128 owed0;
        uint128 owed1;
    }

    function slot0() external view returns (Price memory);
    function feeGrowthGlobal0X128() external view returns (uint256);
    function feeGrowthGlobal1X128() external view returns (uint256);
    function ticks(int24 tick) external view returns (Bound memory);
    function positions(bytes32 key) external view returns (Recorded memory);
}
