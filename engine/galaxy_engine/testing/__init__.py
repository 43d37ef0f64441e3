"""What tests with engines need: a Docker daemon, found or started (`dockerd`), and fixtures (`fixtures`)."""
