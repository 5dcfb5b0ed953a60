"""The panel as a WSGI application."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hosting.settings")
# Whoever waits for a page has left by then; the answer is a 503 instead of a thread less.
os.environ.setdefault("STATEMENT_SECONDS", "20")

application = get_wsgi_application()
