"""Sparsity of derivatives: patterns, their colouring, and entries without colours.

Layout: ``pattern.py`` what callers use, ``_pattern.pyx`` the sweep over a tape, ``rules.py`` the rules of the ops that it
does not handle itself, ``_known.pyx`` contents that are the same at every call, ``rows.c`` sets of columns, ``windows.c``
arrays of them, ``colouring`` groups of columns that share a sweep, ``direct`` entries without sweeps, ``_places.pyx`` where
they are in the result, ``drawing`` what patterns and colours look like.
"""
