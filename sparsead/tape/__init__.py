"""The intermediate representation: values, ops, their listing and their checks."""
