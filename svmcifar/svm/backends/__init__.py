"""Solvers for a one-vs-one problem, behind one interface."""
