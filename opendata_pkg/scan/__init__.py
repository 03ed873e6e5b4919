"""From a source to a snapshot: rows, and the digests that they lack."""
