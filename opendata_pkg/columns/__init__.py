"""Columns of a million rows, in memory or beside it."""
