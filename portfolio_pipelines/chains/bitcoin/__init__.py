"""Bitcoin: balances of addresses from an Esplora server."""
