"""Whether bytes are what was recorded of them: files, clones, stores, and releases made again."""
