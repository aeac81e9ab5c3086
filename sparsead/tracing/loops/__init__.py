"""How the traced steps of a Python loop become one op of the tape."""
