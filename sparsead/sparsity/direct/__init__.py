"""Sparse Jacobians without colours: partial derivatives written straight into the data of the result.

Layout: ``pieces.py`` which coefficient goes where, ``boxes.py`` integer arrays cut into affine boxes, ``restrict.py`` what a box
of a value is computed from, ``assembly.py`` the tape from inputs to data, ``cost.py`` whether that pays.
"""
