"""What a person names to read from: a dataset of a store, a bucket, or a snapshot."""
