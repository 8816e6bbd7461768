"""Mending a data set: always into a new file, with a manifest by which it can be undone."""
