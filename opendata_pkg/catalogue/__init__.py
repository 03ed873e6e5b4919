"""The tree of branches that a bucket is cut into, as people write it."""
