"""Bank statements as CSV: read, looked at line by line, and taken into the ledger in pieces."""
