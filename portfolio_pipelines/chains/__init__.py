"""Reading chains: registry, JSON-RPC client, balance reader, protocols. Knows no orchestration and no storage."""
