"""The broker: one process that holds the engine and its journal, and answers over a socket."""
