"""One module a noun, one function a thing that a user can ask."""
