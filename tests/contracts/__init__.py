"""Real contracts on real local chains, for tests."""
