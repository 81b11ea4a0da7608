"""Figures by matplotlib, for papers and inside of pages."""
