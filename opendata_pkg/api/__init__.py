"""What readers' commands do, as functions: one for each verb, with the same words as on the command line.

`DATASET` words are the command line's: `[BRANCH][@VERSION][:PATH]` of a store, `s3://bucket/prefix`, or a snapshot's
`.parquet` file. `include` and `exclude` are gitignore-style globs (one, or several) on paths relative to the branch,
`larger` and `smaller` bytes. `store`, `catalogue` and `offline` are by default what `OPENDATA_STORE`,
`OPENDATA_CATALOGUE` and `OPENDATA_OFFLINE` say. In a notebook, whatever takes long draws a bar; results show themselves
as tables.

What goes wrong is an `opendata_pkg.OpenDataError`, whose text is a sentence that says what to do.
"""
