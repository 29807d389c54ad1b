"""What the fork server imports so that no child has to wait for it, and the server itself does without.

The first array looks for pandas, half a second where that is installed.
"""

import pyarrow as pa

pa.array([0])
