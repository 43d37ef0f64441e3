"""What starts, watches and removes engines: one Protocol (`driver`), and one folder or file for each kind of host."""
