"""HTTP: the route table, the endpoint compiled from a handler's signature, access, and the server."""
