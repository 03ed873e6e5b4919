"""All current objects of a source at one time: rows, header, id, and the files that hold them."""
