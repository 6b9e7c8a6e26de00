"""What is measured, one module a kind; each scenario is a function that returns a `Sample`."""
