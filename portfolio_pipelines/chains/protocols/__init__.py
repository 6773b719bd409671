"""Positions in DeFi protocols: integer mathematics equal to the contracts."""
