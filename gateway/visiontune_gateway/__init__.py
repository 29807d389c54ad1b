"""The gateway: identity, REST in front of the gRPC contracts, OpenAPI and the web UI."""
