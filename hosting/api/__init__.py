"""The REST API: doors for programs to the verbs that pages and staff use."""
