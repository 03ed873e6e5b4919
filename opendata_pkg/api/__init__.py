"""What readers' commands do, as functions: one for each verb, with the same words, which `opendata_pkg` explains."""
