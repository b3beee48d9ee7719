"""The real world of a node: sockets, files, clocks and entropy, on trio; only here."""
