"""What record stores over tables do alike: the operations, written once, over a port of row operations.

What an operation means stands in `writing`, `erasing` and `jobs`: which checks come in which order, which error says
what, which version is closed and which one opens, what is journaled with which detail. They know no SQL. How rows are
asked for and written stands in the back ends, which decide nothing. Both sides meet in `transaction` (one batch in
progress: times, ids, terms, the rows that wait) and `rows` (versions, jobs, and rows as an erasure sees them). They are
generic in what stands for a scope in the tables: a number in SQLite, four columns in PostgreSQL.

A further back end provides:

- tables with the columns that `columns` names, in the order in which `writing` and `Transaction.add_version` give them,
  and a `Texts` that writes any Python string into a column and reads it back;
- a `Transaction`: keys of scopes, owners of records, integers of terms, numbers of spaces, and `flush`, which writes
  the rows that wait, in few statements;
- `VersionRows`, `JobRows` and `ErasureRows`;
- functions for the operations that only read, with `reading.visible` as the condition that a view is and `columns` and
  `scanning` to make answers of rows; together with `dispatch.WRITING` they are the table that `dispatch.answers` takes;
- a `RelationalStore` whose `batch` runs `dispatch.answers` in a transaction that no other writer overlaps, and in the
  end names the change to its `unnamed` jobs and keeps the newest time and id where the next batch looks for them.

The rules of the contract and the random histories then say whether it is one.

Left apart on purpose, since a common form would hide what matters: how PostgreSQL asks for many things in one round
trip (`asking`, `look_ahead`) and takes jobs that nobody has locked; how SQLite commits what several threads wait to
write (`turns`) and wipes bytes (`residue`); the SQL of reads, which follows each planner; layouts; faults of drivers.
"""
