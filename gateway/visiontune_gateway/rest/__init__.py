"""REST in front of the gRPC contracts: one generic handler driven by the protos' google.api.http options."""
