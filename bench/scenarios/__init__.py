"""What is measured: one file each, with a `measure` that returns a section of the report."""
