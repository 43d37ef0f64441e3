"""HTTP: routes, the endpoint compiled from a handler's signature, access, and the API above the listener."""
