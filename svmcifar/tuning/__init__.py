"""Choosing C, gamma and the number of components, with every distance computed once."""
