"""What starts, watches and removes engines: one Protocol (`driver`), and one folder for each kind of host.

`process.ProcessDriver` runs engines as local children, `docker.DockerDriver` as containers.
"""
