"""Engines run tapes. `reference` defines what a tape means."""
