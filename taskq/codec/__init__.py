"""Calls, results and errors as signed bytes, and back."""
