"""The command line: each module parses one command's words, calls one function of the library and prints its result."""
