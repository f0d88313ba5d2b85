from __future__ import annotations

import os

from hypothesis import settings

# More with FUZZ_EXAMPLES=1000 or so.
settings.register_profile(
    "protocol", deadline=None, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60"))
)
settings.load_profile("protocol")
