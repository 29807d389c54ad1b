"""What can be asked of the gateway itself."""
