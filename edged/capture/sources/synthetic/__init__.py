"""A synthetic scene with known contents, for demonstrations and tests."""
