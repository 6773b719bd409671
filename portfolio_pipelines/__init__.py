"""The self-hosted portfolio data platform for crypto. Nothing is imported here: start-up stays quick."""
