"""opendata.lock: exactly the files that a paper uses."""
