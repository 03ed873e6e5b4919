"""What goes where: pure rules from a snapshot and a catalogue to datasets, paths and selections."""
