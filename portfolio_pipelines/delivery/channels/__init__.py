"""Channels: how a message gets to a person by email, webhook, push or chat, and how people add and verify addresses."""
