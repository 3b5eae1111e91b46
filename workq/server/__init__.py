"""The ring around the broker: sockets, clock, signals, settings. It holds no rule of the domain."""
