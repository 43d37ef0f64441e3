"""Live events to gateways over gRPC."""
