"""`python -m flashsale_operator`."""

import sys

from flashsale_operator.main import main

sys.exit(main())
