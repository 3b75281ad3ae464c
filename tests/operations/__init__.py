"""What operators see and do, through the real console script on a real store."""
