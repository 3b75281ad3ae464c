"""What says that a group is complete: events as warehouses send them, read strictly."""
