"""The gRPC listener and the services that plugins contribute to it."""
