"""`python -m streams.docs`: rewrites the generated parts of the documentation."""

import sys

from streams.docs import main

sys.exit(main())
