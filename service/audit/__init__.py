"""The trace as the audit record: names, encoding, hash chain, and the tree that people read."""
