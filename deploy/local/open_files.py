"""The limit of open files and connections for this account's processes."""

import resource

from lakehouse.errors import ServiceError

# Measured: SeaweedFS and the engine need about 300; building the marts with dbt needs more.
LEAST = 512
# The maximum on macOS, whatever its hard limit says.
ENOUGH = 10_240


def allow_open_files() -> None:
    """Raise the soft limit as far as useful; processes started later inherit it.

    Raises:
        ServiceError: The hard limit is too low for the services.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limited = hard != resource.RLIM_INFINITY
    wanted = min(ENOUGH, hard) if limited else ENOUGH
    if wanted < LEAST:
        raise ServiceError(
            f"This account may open only {hard} files at once, and the services need {LEAST}. "
            "Raise its hard limit: nofile in /etc/security/limits.conf, LimitNOFILE of a systemd "
            "unit, --ulimit nofile of a container."
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
