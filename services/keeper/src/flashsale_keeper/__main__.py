"""`python -m flashsale_keeper`."""

import sys

from flashsale_keeper.main import main

sys.exit(main())
