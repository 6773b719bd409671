"""What leaves the platform: alert rules and their states, the outbox, channels, exports and reports."""
