"""The dataset program: imports archives as immutable versions, and shows them."""
