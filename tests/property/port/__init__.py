"""The same promises by way of the port alone, so that every backend can be judged by them."""
