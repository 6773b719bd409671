// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

// Stand-ins, ours: they answer the views that the project asks of contracts whose code no package ships.

/// The views of the ENS registry, for whoever wants to set a name.
contract NameRegistry {
    mapping(bytes32 => address) public owner;
    mapping(bytes32 => address) public resolver;

    function set(bytes32 node, address owner_, address resolver_) external {
        owner[node] = owner_;
        resolver[node] = resolver_;
    }
}

/// A resolver whose names are kept elsewhere (EIP-3668).
contract OffchainResolver {
    error OffchainLookup(address sender, string[] urls, bytes callData, bytes4 callbackFunction, bytes extraData);

    function addr(bytes32) external view returns (address) {
        revert OffchainLookup(address(this), new string[](1), "", bytes4(0), "");
    }
}

/// The views of a Curve pool as they are since 2021.
contract CurvePool {
    address[] public coins;

    constructor(address[] memory coins_) {
        coins = coins_;
    }

    function get_virtual_price() external pure returns (uint256) {
        return 1e18 + 1;
    }
}

/// The views of a Curve pool of 2020: coins by int128, and no mercy for places past the end.
contract CurvePoolOf2020 {
    address[3] private _coins;

    constructor(address[3] memory coins_) {
        _coins = coins_;
    }

    function coins(int128 place) external view returns (address) {
        if (place >= 3) {
            assembly {
                invalid()
            }
        }
        return _coins[uint256(int256(place))];
    }

    function get_virtual_price() external pure returns (uint256) {
        return 1e18 + 1;
    }
}

/// Curve's address provider and its meta registry in one.
contract CurveRegistry {
    mapping(address => bool) public is_registered;

    function add(address pool) external {
        is_registered[pool] = true;
    }

    function get_address(uint256 number) external view returns (address) {
        return number == 7 ? address(this) : address(0);
    }
}

/// Claims to be a pair of a factory that has never heard of it; with `stable` it is one of a Solidly fork.
contract ClaimedPair {
    address public token0;
    address public token1;
    address public factory;
    bool public stable;

    constructor(address token0_, address token1_, address factory_, bool stable_) {
        (token0, token1, factory, stable) = (token0_, token1_, factory_, stable_);
    }

    function getReserves() external pure returns (uint112, uint112, uint32) {
        return (1, 1, 1);
    }
}
