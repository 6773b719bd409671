// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// Views that behave in every way a hostile or old contract may.
contract ViewsOfAllKinds {
    error NotToday(uint256 reason);

    uint256 private _stored = 7;

    function answer(uint256 value) external pure returns (uint256) {
        return value;
    }

    function reverts() external pure returns (uint256) {
        revert NotToday(3);
    }

    function revertsSilently() external pure returns (uint256) {
        assembly {
            revert(0, 0)
        }
    }

    /// As array getters of early compilers do past the end: all gas that it got is gone.
    function burnsItsGas() external pure returns (uint256) {
        assembly {
            invalid()
        }
    }

    /// Costs about 2.1 million gas.
    function expensive(uint256 from) external view returns (uint256 total) {
        for (uint256 slot = 0; slot < 1000; slot++) {
            assembly {
                total := add(total, sload(add(mul(from, 100000), add(slot, 1000))))
            }
        }
        return total + _stored;
    }

    function nothing() external pure {}

    function half() external pure {
        assembly {
            mstore(0, not(0))
            return(0, 16)
        }
    }

    function list(uint256 count) external pure returns (address[] memory items) {
        items = new address[](count);
        for (uint256 i = 0; i < count; i++) items[i] = address(uint160(i + 1));
    }
}
