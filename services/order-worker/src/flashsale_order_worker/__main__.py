"""`python -m flashsale_order_worker`."""

import sys

from flashsale_order_worker.main import main

sys.exit(main())
