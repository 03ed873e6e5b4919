"""From a snapshot to a draft in a store, and from that to a release."""
