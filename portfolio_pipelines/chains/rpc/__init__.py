"""Asking nodes: the JSON-RPC client of EVM chains."""
