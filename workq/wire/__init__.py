"""The server's half of the protocol: bytes to requests, replies to bytes. Pure.

`grammar` says what a command's line looks like and reads it, `fields` reads the values in it,
`reader` cuts a stream into requests, `replies` has every reply. What commands there are is not
known here: they come in as a table.
"""
