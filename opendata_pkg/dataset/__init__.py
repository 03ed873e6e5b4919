"""One dataset as git objects, and the documents in it."""
