"""Ids that tests of the command line use."""

ID = "c0ffee00-1111-4222-8333-000000000001"
OTHER = "c0ffee00-1111-4222-8333-000000000002"
MISSING = "c0ffee00-1111-4222-8333-00000000ffff"
