"""Asking web servers for bytes."""
