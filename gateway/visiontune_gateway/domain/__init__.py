"""What an API key is and who may grant it."""
