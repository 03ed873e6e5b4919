"""The git edge: object formats, pack files written in bulk, and bare repositories."""
