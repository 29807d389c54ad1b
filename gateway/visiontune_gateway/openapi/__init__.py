"""The OpenAPI document, made from the same descriptors that the REST handler reads."""
