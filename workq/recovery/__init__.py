"""Between log and engine: what brings jobs back that were kept as bytes."""
