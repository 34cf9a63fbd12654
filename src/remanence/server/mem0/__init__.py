"""mem0's interfaces over the same memory: the routes of its server at the root, and the shapes of its service.

Words are kept as they were said, deletions can be taken back, and what is answered has been done: nobody waits.
"""

from __future__ import annotations
