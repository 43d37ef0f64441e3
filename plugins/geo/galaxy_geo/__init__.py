"""Countries of players, from a GeoIP database: looked up, counted by account, shown to operators (SPEC G-1 to G-3).

A request only records account and address in memory; look-up and writing follow later, off the request path. No address
is stored or logged.
"""
