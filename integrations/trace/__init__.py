"""Where the audit trace goes."""
