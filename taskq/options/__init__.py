"""The options of a task, checked where they are given."""
