"""Versioned, citable, partially clonable datasets of a public S3 bucket."""

__version__ = "0.1.0"
