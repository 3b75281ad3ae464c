"""The same work done by other task queues, each as its own documentation would have it."""
