"""The thin adapter on the durable engine (DBOS): runs work that has a row, hands delayed work over inside transactions, sends the outbox, repairs starts.

Decides nothing and knows no outside system. About ten DBOS calls are used, all in `segments.py`, so that another engine could take its place.
"""
