"""What a user touches: the application object, tasks, handles."""
