"""The op table: every family of ops with its rules, one file each."""
