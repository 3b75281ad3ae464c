"""Commands for operators: they call operations and speak, nothing else."""
