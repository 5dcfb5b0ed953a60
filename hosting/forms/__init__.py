"""Forms of the customer's pages. What an address may look like is decided in `mailstore`."""
