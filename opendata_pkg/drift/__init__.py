"""Where a bucket and its catalogue say different things, and what to write into the catalogue then."""
