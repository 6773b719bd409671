// SPDX-License-Identifier: GPL-2.0-or-later
pragma solidity =0.7.6;
pragma abicoder v2;

import "@uniswap/v3-core/contracts/libraries/FixedPoint128.sol";
import "@uniswap/v3-core/contracts/libraries/FullMath.sol";
import "@uniswap/v3-core/contracts/libraries/SqrtPriceMath.sol";
import "@uniswap/v3-core/contracts/libraries/Tick.sol";
import "@uniswap/v3-core/contracts/libraries/TickMath.sol";
import "@uniswap/v3-periphery/contracts/libraries/LiquidityAmounts.sol";

/// The libraries of Uniswap v3 themselves, callable from outside, many questions at a time.
contract V3Libraries {
    using Tick for mapping(int24 => Tick.Info);

    mapping(int24 => Tick.Info) private bounds;

    struct Range {
        uint160 price;
        uint160 lower;
        uint160 upper;
        uint128 liquidity;
    }

    struct Growth {
        int24 tick;
        int24 lowerTick;
        int24 upperTick;
        uint256 lower;
        uint256 upper;
        uint256 growth;
        uint256 before;
        uint128 liquidity;
        uint128 recorded;
    }

    struct Deposit {
        uint160 price;
        uint160 lower;
        uint160 upper;
        uint256 amount0;
        uint256 amount1;
    }

    function sqrtPrices(int24[] calldata ticks) external pure returns (uint160[] memory prices) {
        prices = new uint160[](ticks.length);
        for (uint256 i = 0; i < ticks.length; i++) prices[i] = TickMath.getSqrtRatioAtTick(ticks[i]);
    }

    function ticks(uint160[] calldata prices) external pure returns (int24[] memory found) {
        found = new int24[](prices.length);
        for (uint256 i = 0; i < prices.length; i++) found[i] = TickMath.getTickAtSqrtRatio(prices[i]);
    }

    /// As UniswapV3Pool computes what burning gives.
    function amounts(Range[] calldata ranges) external pure returns (uint256[2][] memory found) {
        found = new uint256[2][](ranges.length);
        for (uint256 i = 0; i < ranges.length; i++) {
            Range calldata range = ranges[i];
            if (range.price < range.lower) {
                found[i][0] = SqrtPriceMath.getAmount0Delta(range.lower, range.upper, range.liquidity, false);
            } else if (range.price < range.upper) {
                found[i][0] = SqrtPriceMath.getAmount0Delta(range.price, range.upper, range.liquidity, false);
                found[i][1] = SqrtPriceMath.getAmount1Delta(range.lower, range.price, range.liquidity, false);
            } else {
                found[i][1] = SqrtPriceMath.getAmount1Delta(range.lower, range.upper, range.liquidity, false);
            }
        }
    }

    /// As NonfungiblePositionManager computes what a position is owed of one token.
    function owed(Growth[] calldata growths) external returns (uint128[] memory found) {
        found = new uint128[](growths.length);
        for (uint256 i = 0; i < growths.length; i++) {
            Growth calldata growth = growths[i];
            bounds[growth.lowerTick].feeGrowthOutside0X128 = growth.lower;
            bounds[growth.upperTick].feeGrowthOutside0X128 = growth.upper;
            (uint256 inside, ) =
                bounds.getFeeGrowthInside(growth.lowerTick, growth.upperTick, growth.tick, growth.growth, 0);
            found[i] =
                growth.recorded +
                uint128(FullMath.mulDiv(inside - growth.before, growth.liquidity, FixedPoint128.Q128));
        }
    }

    /// As the periphery computes the liquidity of a deposit.
    function liquidity(Deposit[] calldata deposits) external pure returns (uint128[] memory found) {
        found = new uint128[](deposits.length);
        for (uint256 i = 0; i < deposits.length; i++) {
            Deposit calldata deposit = deposits[i];
            found[i] = LiquidityAmounts.getLiquidityForAmounts(
                deposit.price,
                deposit.lower,
                deposit.upper,
                deposit.amount0,
                deposit.amount1
            );
        }
    }
}
