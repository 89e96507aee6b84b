"""`python -m tools.docs`: regenerate the generated parts of the documentation."""

import sys

from tools.docs import main

sys.exit(main())
