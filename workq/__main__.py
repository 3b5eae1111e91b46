"""`python -m workq` is `workq-server`."""

import sys

from workq.cli.server import main

sys.exit(main())
