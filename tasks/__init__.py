"""What a closure is, and how one is closed."""
