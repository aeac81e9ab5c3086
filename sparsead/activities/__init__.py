"""The face for code that mutates its arguments: every argument is said to be constant, active, or to have a shadow."""
