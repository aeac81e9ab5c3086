"""The Jacobian of a tape, entry by entry: a tape of partial derivatives.

Layout: ``coefficients.py`` what stands before a column, and how it is moved and multiplied, ``terms.py`` which columns and rows
it belongs to, ``geometry.py`` integer arrays that are moved as values are, ``rules.py`` one rule for each structural op,
``sweep.py`` the way over a tape.
"""
