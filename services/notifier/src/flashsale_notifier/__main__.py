"""`python -m flashsale_notifier`."""

import sys

from flashsale_notifier.main import main

sys.exit(main())
