"""Sources of snapshots: S3 buckets, listing files, folders. Each module reads one kind into rows and a header."""
