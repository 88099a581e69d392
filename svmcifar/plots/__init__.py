"""Figures, drawn by Matplotlib without pyplot and without global state."""
