"""The settings of the unit tests: a state folder of their own, and the in-memory mail server."""

import os
import tempfile

os.environ["RESTANTE_STATE"] = tempfile.mkdtemp(prefix="restante-tests-")
os.environ["MAIL_ENGINE"] = "mailstore.engine.memory.MemoryEngine"
os.environ["RESOLVER"] = "mailstore.resolver.memory.MemoryResolver"

from hosting.settings import *  # noqa: F403  # the environment comes first

# The unit tests check rules, not the price of guessing.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECURE_SSL_REDIRECT = False
