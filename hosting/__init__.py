"""What is sold and shown: the composition root of Restante."""

from hosting.celery import app as celery_app

__all__ = ["celery_app"]
