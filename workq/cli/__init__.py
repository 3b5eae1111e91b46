"""The programs: `workq-server`."""
