"""The records substrate: plaintext memory with times, provenance and versions.

`model` says what a record is, `operations` what can be asked of a store, `port` what a store is; `reference` is the
readable store in memory that every other one is compared with; `mechanism` is the contract of record mechanisms.
"""
