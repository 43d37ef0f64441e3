"""The proxy between a backend and the Docker daemon: it alone holds the daemon's socket.

Who may speak to a daemon is root on its machine, and a backend that was broken into would be too. Through the proxy it
can do what the driver `docker` does, and nothing else:

- `routes` lists the calls that pass, by method, path and parameters. All others are refused.
- `bodies` never passes a body on. It reads what is wanted, makes the body that the driver would make of that, and
  refuses what differs in anything: so binds, host namespaces, devices, privileges, added capabilities and whatever
  Docker learns next are refused without being named.
- `policy` says which images, networks and limits are allowed, and which containers are acted on: those that carry the
  stack's label and an owner, which are looked at before each call. To the backend, all others do not exist.

Proxy and backend are of one version, since the driver's bodies are the measure.
"""
