"""What is told of a worker's attempts: each module observes `tasks.attempted.Attempted`."""
