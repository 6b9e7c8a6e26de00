"""How to get to a broker, and who may: addresses, directories, keys and the handshake."""
