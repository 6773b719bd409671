// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// Does many things in one transaction that would take many: calls contracts one after the other, on its own account.
contract Crowd {
    event Failed(uint256 index, bytes reason);

    function approve(IERC20 token, address spender) external {
        token.approve(spender, type(uint256).max);
    }

    /// Calls that fail are named in an event and otherwise left out.
    function attempt(address target, bytes[] calldata calls) external returns (uint256 succeeded) {
        for (uint256 i = 0; i < calls.length; i++) {
            (bool ok, bytes memory reason) = target.call(calls[i]);
            if (ok) succeeded++;
            else emit Failed(i, reason);
        }
    }
}
