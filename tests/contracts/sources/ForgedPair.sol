// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// Answers like a pair of Uniswap v2 that holds a fortune and of which everybody has a part. Its factory knows nothing.
contract ForgedPair {
    address public factory;
    address public token0;
    address public token1;
    uint256 public totalSupply = 10 ** 18;
    uint256 public kLast;

    constructor(address factory_, address token0_, address token1_) {
        (factory, token0, token1) = (factory_, token0_, token1_);
    }

    function getReserves() external pure returns (uint112, uint112, uint32) {
        return (10 ** 30, 10 ** 30, 1);
    }

    function balanceOf(address) external pure returns (uint256) {
        return 10 ** 18;
    }
}
