// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// Keeps a tenth of what moves, and says the whole amount in its log.
contract FeeToken is ERC20 {
    constructor() ERC20("Fee Token", "FEE") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0) && to != address(0)) {
            // Quietly: OpenZeppelin would log the fee as a transfer of its own.
            bytes32 slot = keccak256(abi.encode(to, uint256(0)));
            assembly {
                sstore(slot, sub(sload(slot), div(amount, 10)))
            }
        }
    }
}

/// Balances grow by themselves, without a log.
contract RebasingToken {
    string public constant symbol = "REB";
    string public constant name = "Rebasing";
    uint8 public constant decimals = 18;
    uint256 public index = 1e18;
    mapping(address => uint256) private _shares;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function balanceOf(address owner) external view returns (uint256) {
        return _shares[owner] * index / 1e18;
    }

    function mint(address to, uint256 amount) external {
        _shares[to] += amount * 1e18 / index;
        emit Transfer(address(0), to, amount);
    }

    function rebase(uint256 newIndex) external {
        index = newIndex;
    }
}

contract Collectible is ERC721("Collectible", "COL") {
    function mint(address to, uint256 id) external {
        _mint(to, id);
    }
}

contract Vault is ERC4626 {
    constructor(IERC20 coin) ERC20("Vault", "vCOIN") ERC4626(coin) {}
}

/// Early tokens: texts of 32 bytes.
contract EarlyToken {
    bytes32 public constant symbol = "MKR";
    bytes32 public constant name = "Maker";
    uint8 public constant decimals = 18;
}

/// Says things that cannot be, and burns what gas it gets.
contract LyingToken {
    function symbol() external pure returns (string memory) {
        assembly {
            mstore(0, 32)
            mstore(32, not(0))
            return(0, 64)
        }
    }

    function name() external pure returns (string memory) {
        assembly {
            for {} 1 {} {}
        }
    }

    function decimals() external pure returns (uint256) {
        return 1000;
    }
}

/// Stand-in for wstETH, rETH and a cToken: the same views, a rate that anyone may set.
contract Rates {
    uint256 private _rate;

    function set(uint256 rate) external {
        _rate = rate;
    }

    function stEthPerToken() external view returns (uint256) {
        return _rate;
    }

    function getExchangeRate() external view returns (uint256) {
        return _rate;
    }

    function exchangeRateStored() external view returns (uint256) {
        return _rate;
    }
}

/// Sends its coins on, which leaves no log.
contract Forwarder {
    function forward(address payable to) external payable {
        (bool ok, ) = to.call{value: msg.value}("");
        require(ok);
    }
}
