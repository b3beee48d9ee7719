"""Wall-clock measurements: what a piece of Veche costs on this machine."""
