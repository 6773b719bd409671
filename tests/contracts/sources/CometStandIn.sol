// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// Stand-ins for Compound v3. They answer the same views as a Comet, its price feeds and CometRewards, with the same
/// published arithmetic, and emit the same events; nothing else of Compound is here: no liquidation, no limits, rates
/// that a test sets. They exist because the real source may not be copied into this repository.
contract PriceFeedStandIn {
    uint256 public price;

    constructor(uint256 price_) {
        price = price_;
    }

    function set(uint256 price_) external {
        price = price_;
    }
}

contract CometStandIn {
    struct AssetInfo {
        uint8 offset;
        address asset;
        address priceFeed;
        uint64 scale;
        uint64 borrowCollateralFactor;
        uint64 liquidateCollateralFactor;
        uint64 liquidationFactor;
        uint128 supplyCap;
    }

    struct UserBasic {
        int104 principal;
        uint64 baseTrackingIndex;
        uint64 baseTrackingAccrued;
        uint16 assetsIn;
        uint8 _reserved;
    }

    struct UserCollateral {
        uint128 balance;
        uint128 _reserved;
    }

    event Supply(address indexed from, address indexed dst, uint256 amount);
    event Withdraw(address indexed src, address indexed to, uint256 amount);
    event SupplyCollateral(address indexed from, address indexed dst, address indexed asset, uint256 amount);
    event WithdrawCollateral(address indexed src, address indexed to, address indexed asset, uint256 amount);
    event AbsorbDebt(address indexed absorber, address indexed borrower, uint256 basePaidOut, uint256 usdValue);
    event AbsorbCollateral(
        address indexed absorber, address indexed borrower, address indexed asset, uint256 absorbed, uint256 usdValue
    );
    event Transfer(address indexed from, address indexed to, uint256 amount);

    uint256 private constant INDEX_SCALE = 1e15;
    uint256 private constant FACTOR_SCALE = 1e18;

    address public baseToken;
    address public baseTokenPriceFeed;
    uint256 public baseScale;
    uint64 public baseSupplyIndex = 1e15;
    uint64 public baseBorrowIndex = 1e15;
    uint40 public lastAccrualTime = uint40(block.timestamp);
    uint64 public supplyRate;
    uint64 public borrowRate;
    mapping(address => UserBasic) public userBasic;
    mapping(address => mapping(address => UserCollateral)) public userCollateral;
    AssetInfo[] private _assets;

    constructor(address base, address feed, uint256 scale, AssetInfo[] memory assets) {
        baseToken = base;
        baseTokenPriceFeed = feed;
        baseScale = scale;
        for (uint256 i = 0; i < assets.length; i++) _assets.push(assets[i]);
    }

    function numAssets() external view returns (uint8) {
        return uint8(_assets.length);
    }

    function getAssetInfo(uint8 place) external view returns (AssetInfo memory) {
        return _assets[place];
    }

    function getPrice(address feed) public view returns (uint256) {
        return PriceFeedStandIn(feed).price();
    }

    function accrueAccount(address) public {
        (baseSupplyIndex, baseBorrowIndex) = _indexes();
        lastAccrualTime = uint40(block.timestamp);
    }

    function setRates(uint64 supplyRate_, uint64 borrowRate_) external {
        accrueAccount(msg.sender);
        (supplyRate, borrowRate) = (supplyRate_, borrowRate_);
    }

    function setIndexes(uint64 supplyIndex, uint64 borrowIndex) external {
        (baseSupplyIndex, baseBorrowIndex, lastAccrualTime) = (supplyIndex, borrowIndex, uint40(block.timestamp));
    }

    function setPrincipal(address account, int104 principal) external {
        userBasic[account].principal = principal;
    }

    function setRewards(address account, uint64 accrued) external {
        userBasic[account].baseTrackingAccrued = accrued;
    }

    function supply(address asset, uint256 amount) external {
        accrueAccount(msg.sender);
        if (asset == baseToken) {
            _move(msg.sender, int256(amount));
            emit Supply(msg.sender, msg.sender, amount);
        } else {
            userCollateral[msg.sender][asset].balance += uint128(amount);
            userBasic[msg.sender].assetsIn |= uint16(1) << _place(asset);
            emit SupplyCollateral(msg.sender, msg.sender, asset, amount);
        }
    }

    function withdraw(address asset, uint256 amount) external {
        accrueAccount(msg.sender);
        if (asset == baseToken) {
            _move(msg.sender, -int256(amount));
            emit Withdraw(msg.sender, msg.sender, amount);
        } else {
            userCollateral[msg.sender][asset].balance -= uint128(amount);
            if (userCollateral[msg.sender][asset].balance == 0) {
                userBasic[msg.sender].assetsIn &= ~(uint16(1) << _place(asset));
            }
            emit WithdrawCollateral(msg.sender, msg.sender, asset, amount);
        }
    }

    function balanceOf(address account) external view returns (uint256) {
        int256 value = _present(account);
        return value > 0 ? uint256(value) : 0;
    }

    function borrowBalanceOf(address account) external view returns (uint256) {
        int256 value = _present(account);
        return value < 0 ? uint256(-value) : 0;
    }

    function isLiquidatable(address account) external view returns (bool) {
        return _liquidity(account, true) < 0;
    }

    function isBorrowCollateralized(address account) external view returns (bool) {
        return _liquidity(account, false) >= 0;
    }

    function _indexes() private view returns (uint64, uint64) {
        uint256 elapsed = block.timestamp - lastAccrualTime;
        return (
            baseSupplyIndex + uint64((baseSupplyIndex * (supplyRate * elapsed)) / FACTOR_SCALE),
            baseBorrowIndex + uint64((baseBorrowIndex * (borrowRate * elapsed)) / FACTOR_SCALE)
        );
    }

    function _present(address account) private view returns (int256) {
        (uint256 supplyIndex, uint256 borrowIndex) = _indexes();
        int256 principal = userBasic[account].principal;
        return (principal * int256(principal < 0 ? borrowIndex : supplyIndex)) / int256(INDEX_SCALE);
    }

    function _move(address account, int256 amount) private {
        int256 value = _present(account) + amount;
        uint256 index = value < 0 ? baseBorrowIndex : baseSupplyIndex;
        // What is owed rounds up, what is owned down.
        int256 rounding = value < 0 ? int256(index) - 1 : int256(0);
        userBasic[account].principal = int104((value * int256(INDEX_SCALE) - rounding) / int256(index));
    }

    function _liquidity(address account, bool liquidation) private view returns (int256 total) {
        if (userBasic[account].principal >= 0) return 0;
        total = (_present(account) * int256(getPrice(baseTokenPriceFeed))) / int256(baseScale);
        for (uint256 i = 0; i < _assets.length; i++) {
            AssetInfo memory info = _assets[i];
            uint256 held = userCollateral[account][info.asset].balance;
            if (held == 0) continue;
            uint256 factor = liquidation ? info.liquidateCollateralFactor : info.borrowCollateralFactor;
            total += int256((((held * getPrice(info.priceFeed)) / info.scale) * factor) / FACTOR_SCALE);
        }
    }

    function _place(address asset) private view returns (uint256) {
        for (uint256 i = 0; i < _assets.length; i++) if (_assets[i].asset == asset) return i;
        revert("no such asset");
    }
}

contract CometRewardsStandIn {
    error NotSupported(address comet);

    mapping(address => address) private _tokens;

    function support(address comet, address token) external {
        _tokens[comet] = token;
    }

    /// Like the real one no view: it brings the account up to date first.
    function getRewardOwed(address comet, address account) external returns (address token, uint256 owed) {
        token = _tokens[comet];
        if (token == address(0)) revert NotSupported(comet);
        CometStandIn(comet).accrueAccount(account);
        (,, uint64 accrued,,) = CometStandIn(comet).userBasic(account);
        owed = uint256(accrued) * 1e12;
    }
}
