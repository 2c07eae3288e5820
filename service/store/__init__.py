"""Keeps what was accepted and what was done: tables, queries, migrations. Implements the persistence ports of `service.domain.ports`; decides nothing."""
