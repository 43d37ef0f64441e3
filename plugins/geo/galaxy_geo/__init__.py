"""Countries of players, from a GeoIP database: looked up, counted by account, shown to operators (SPEC G-1 to G-3).

A request only notes who asked from where; the look-up and the writing come later, off the request's path. No address is
stored or logged.
"""
