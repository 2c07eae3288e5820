"""Senders of alerts: each file parses one wire format, purely."""
