"""The HTTP edge: parse, call, map. What a request means is the workflow's and the domain's; where records are kept is the store's."""
