"""A drawn scene with known contents, for demonstrations and tests."""
