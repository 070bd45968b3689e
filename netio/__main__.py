"""python -m netio"""

import sys

from netio.cli import main

if __name__ == "__main__":
    sys.exit(main())
