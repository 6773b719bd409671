// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";

/// A real vault; its shares have 12 digits more than its coin, as careful vaults do against inflated first deposits.
contract TestVault is ERC4626 {
    uint8 private immutable _offset;

    constructor(IERC20 coin, uint8 offset) ERC20("Test Vault", "tvCOIN") ERC4626(coin) {
        _offset = offset;
    }

    function _decimalsOffset() internal view override returns (uint8) {
        return _offset;
    }
}

/// Says of itself whatever it is told to say, in all the ways that receipts have.
contract HostileReceipt is ERC20 {
    address public asset;
    address public stETH;
    address public underlying;
    uint256 public rate;
    bool public burnsGas;

    constructor() ERC20("Hostile", "HOST") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setAsset(address what) external {
        asset = what;
    }

    function setSteth(address what) external {
        stETH = what;
    }

    function setUnderlying(address what) external {
        underlying = what;
    }

    function setRate(uint256 what) external {
        rate = what;
    }

    function setBurnsGas(bool what) external {
        burnsGas = what;
    }

    function convertToAssets(uint256 shares) external view returns (uint256) {
        if (burnsGas) assembly { invalid() }
        return shares * rate / 1e18;
    }

    function stEthPerToken() external view returns (uint256) {
        return rate;
    }

    function exchangeRateStored() external view returns (uint256) {
        return rate;
    }

    function getExchangeRate() external view returns (uint256) {
        return rate;
    }
}
