// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// Stand-ins for Curve pools: the same views and the same payout for shares, none of the exchange. Curve's own
/// contracts are written in Vyper, for which there is no compiler among the test's packages.
interface IShares {
    function totalSupply() external view returns (uint256);
    function burn(address from, uint256 amount) external;
}

/// A pool as they are since 2021: it is the token of its shares, indexes are uint256.
contract CurvePoolStandIn is ERC20 {
    address[] private _coins;
    uint256[] private _balances;
    uint256 private _virtualPrice;

    event RemoveLiquidity(address indexed provider, uint256[] amounts, uint256 supply);

    constructor(address[] memory coins_, uint256[] memory balances_, uint256 virtualPrice_) ERC20("Curve", "CRV-LP") {
        (_coins, _balances, _virtualPrice) = (coins_, balances_, virtualPrice_);
    }

    function mint(address to, uint256 shares) external {
        _mint(to, shares);
    }

    function coins(uint256 place) external view returns (address) {
        return _coins[place];
    }

    function balances(uint256 place) external view returns (uint256) {
        return _balances[place];
    }

    function get_virtual_price() external view returns (uint256) {
        require(_virtualPrice != 0);
        return _virtualPrice;
    }

    function remove_liquidity(uint256 shares) external returns (uint256[] memory paid) {
        paid = new uint256[](_coins.length);
        for (uint256 i = 0; i < paid.length; i++) {
            paid[i] = (_balances[i] * shares) / totalSupply();
            _balances[i] -= paid[i];
        }
        _burn(msg.sender, shares);
        emit RemoveLiquidity(msg.sender, paid, totalSupply());
    }
}

/// A pool of 2020: indexes are int128, one past the last burns all gas, its shares are a token of their own.
contract EarlyCurvePoolStandIn {
    address[] private _coins;
    uint256[] private _balances;
    address public token;

    constructor(address[] memory coins_, uint256[] memory balances_, address token_) {
        (_coins, _balances, token) = (coins_, balances_, token_);
    }

    function coins(int128 place) external view returns (address) {
        return _coins[_checked(place)];
    }

    function balances(int128 place) external view returns (uint256) {
        return _balances[_checked(place)];
    }

    function get_virtual_price() external pure returns (uint256) {
        return 1.02e18;
    }

    function _checked(int128 place) private view returns (uint256) {
        if (place < 0 || uint128(place) >= _coins.length) {
            assembly {
                invalid()
            }
        }
        return uint128(place);
    }
}

/// Curve's registry as far as it says what a pool consists of.
contract CurveRegistryStandIn {
    mapping(address => address[8]) private _coins;
    mapping(address => uint256[8]) private _balances;
    mapping(address => address) public get_lp_token;

    function set(address pool, address[8] calldata coins, uint256[8] calldata balances, address share) external {
        (_coins[pool], _balances[pool], get_lp_token[pool]) = (coins, balances, share);
    }

    function get_coins(address pool) external view returns (address[8] memory) {
        return _coins[pool];
    }

    function get_balances(address pool) external view returns (uint256[8] memory) {
        return _balances[pool];
    }
}

/// Curve's address provider and its registry of registries in one: which pool a token is a share of, and its gauge.
contract CurveMetaRegistryStandIn is CurveRegistryStandIn {
    mapping(address => address) public get_pool_from_lp_token;
    mapping(address => address) public get_gauge;
    mapping(address => string) public get_pool_name;

    function get_address(uint256 number) external view returns (address) {
        return number == 7 ? address(this) : address(0);
    }

    function name_pool(address pool, address share, address gauge, string calldata name) external {
        (get_pool_from_lp_token[share], get_gauge[pool], get_pool_name[pool]) = (pool, gauge, name);
    }
}

/// A gauge: its token is a staked share.
contract CurveGaugeStandIn is ERC20 {
    address public immutable lp_token;

    constructor(address share) ERC20("Gauge", "GAUGE") {
        lp_token = share;
    }

    function mint(address to, uint256 shares) external {
        _mint(to, shares);
    }
}
