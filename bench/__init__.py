"""What a piece of Veche costs on this machine: ``python -m bench``.

Small measurements are of processor time, so that other processes disturb them little; whole
election days are of wall time. Medians over repeats, with the smallest and the largest.
"""
