"""The trace as the audit record: names, encoding, and the tree that people read."""
