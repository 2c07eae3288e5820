"""The durable story: correlate, examine, act, verify, hold. Knows ports, not systems; decides through `service.domain`; persists through ports."""
