"""What runs tasks: one consumer in one process or thread."""
