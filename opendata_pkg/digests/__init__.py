"""Digests of files and objects: made, compared, and kept so that nothing is read twice."""
