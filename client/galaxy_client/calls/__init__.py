"""The calls of the API, by what they concern. `Galaxy` has all of them."""
