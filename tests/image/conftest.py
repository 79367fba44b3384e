"""The image of the Dockerfile. `scripts/test image` builds it and runs these tests, in a network of
their own.
"""

import os

if "EASY_INVITE_CONTAINERS" not in os.environ:
    collect_ignore_glob = ["test_*.py"]
