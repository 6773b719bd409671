"""Alerts: rules over the served marts, evaluated for everybody at once, told once through the outbox."""
