"""How many files and connections this account's processes may have open."""

import resource

from lakehouse.errors import ServiceError

# Measured: SeaweedFS and the engine need some 300; a build of the marts with dbt some more.
LEAST = 512
# macOS allows no more, whatever its hard limit says.
ENOUGH = 10_240


def allow_open_files() -> None:
    """Raise the soft limit as far as is useful; processes that start later inherit it.

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
