"""The Celery application: workers (`celery -A celery_app worker`), beat, and the queues of everybody else."""

import os
import sys
from pathlib import Path

from celery import Celery

from fundops.core.boot import boot

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
if Path(sys.argv[0]).name == "celery":
    boot()  # the process' own entry point; everybody else has called it before

app = Celery("fundops")
# Celery's current application is a matter of the thread; the default holds in all of them.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
