"""The second factor of people: apps, passkeys and codes on paper; who must have one; losing it."""
