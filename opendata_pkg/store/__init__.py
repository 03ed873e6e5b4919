"""The published folder: where it is, what is in it, and finding something there."""
