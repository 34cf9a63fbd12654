"""`look.py PATH` opens a store, prints the texts in it as JSON, and closes it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from remanence.stores.sqlite import SqliteStore
from tests.stores.sqlite.support import everything

store = SqliteStore(Path(sys.argv[1]))
print(json.dumps([record.text for record in everything(store)]))
store.close()
