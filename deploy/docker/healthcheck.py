"""Health check of a container: every address in HEALTH_URLS answers.

A response that asks for credentials counts as healthy, because the check has none. With
HEALTH_COMPONENT, the responses are Airflow's and must report that component as healthy.
"""

import json
import os
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

component = os.environ.get("HEALTH_COMPONENT")
for url in os.environ.get("HEALTH_URLS", "").split():
    try:
        with urlopen(url, timeout=4) as answer:  # noqa: S310 - addresses of the compose file
            if component and json.load(answer)[component]["status"] != "healthy":
                sys.exit(f"{component} is not healthy")
    except HTTPError as error:
        if error.code >= 500:
            sys.exit(f"{url} answers {error.code}")
    except OSError as error:
        sys.exit(f"{url} does not answer: {error}")
