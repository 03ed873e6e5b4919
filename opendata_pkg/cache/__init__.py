"""From the web to verified files on this machine, each kept once."""
