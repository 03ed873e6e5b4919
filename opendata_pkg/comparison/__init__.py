"""What became of each file between two versions, buckets, snapshots or locks."""
