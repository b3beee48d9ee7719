"""How far the simulation is from a real network: one load on both hosts, figure by figure."""
