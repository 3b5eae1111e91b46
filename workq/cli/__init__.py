"""The programs: `workq-server` and `workq`."""
