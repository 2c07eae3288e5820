"""The handlers, one file a resource; each ends in its routes. They call the desk or read records, and map what comes back by `views`."""
