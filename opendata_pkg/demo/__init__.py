"""The whole story on one machine: a loopback S3 server, real sample files, and every step shown as it is done."""
