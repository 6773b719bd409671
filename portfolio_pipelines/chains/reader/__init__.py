"""Balances of thousands of wallets and tokens in one call."""
