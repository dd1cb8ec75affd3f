"""The Celery application: workers (`celery -A celery_app worker`), beat, and the queues of everybody else."""

import os
import sys
from pathlib import Path

from celery import Celery

import fundops.core.celery_signals  # noqa: F401 - logs, heartbeats and counts of every Celery process
from fundops.core.boot import boot

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
if "celery" in Path(sys.argv[0]).parts[-2:]:  # `celery` or `python -m celery`: the process' own entry point
    boot()

app = Celery("fundops")
# Celery's current application is a matter of the thread; the default holds in all of them.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
