"""A family's accuracy on labelled photos."""
