"""Solana: native and SPL balances."""
