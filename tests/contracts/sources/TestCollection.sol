// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// An ordinary collection that anyone may mint.
contract TestCollection is ERC721 {
    constructor() ERC721("Test", "TEST") {}

    function mint(address to, uint256 id) external {
        _mint(to, id);
    }

    function burn(uint256 id) external {
        _burn(id);
    }
}

/// Says whatever it is told to say.
contract LyingCollection {
    uint256 private immutable _everybody;
    mapping(address => uint256) private _counts;

    constructor(uint256 everybody) {
        _everybody = everybody;
    }

    function set(address owner, uint256 count) external {
        _counts[owner] = count;
    }

    function supportsInterface(bytes4) external pure returns (bool) {
        return true;
    }

    function balanceOf(address owner) external view returns (uint256) {
        require(_counts[owner] != 13, "not today");
        return _counts[owner] == 0 ? _everybody : _counts[owner];
    }
}
