"""`reader.py PATH` begins to read a store, prints how many versions it sees, and reads on until its input ends."""

from __future__ import annotations

import sqlite3
import sys

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
print(connection.execute("SELECT count(*) FROM versions").fetchone()[0], flush=True)
sys.stdin.read()
connection.execute("COMMIT")
connection.close()
