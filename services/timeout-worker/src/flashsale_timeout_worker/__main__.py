"""`python -m flashsale_timeout_worker`."""

import sys

from flashsale_timeout_worker.main import main

sys.exit(main())
