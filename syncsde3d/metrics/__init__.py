"""Measures of what was made; torch only."""
