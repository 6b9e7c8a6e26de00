"""What the figures were measured on: processors, memory, system, versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("msgspec", "huey", "dramatiq", "celery", "rq", "taskiq", "taskiq-redis", "saq", "redis")
SPEEDUPS = ("hiredis", "uvloop")


def facts() -> dict[str, str]:
    """Names and values, for a person to read."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processors": f"{os.cpu_count()}, {_processor()}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
        "Redis": _redis(),
        **{name: version for name in (*PACKAGES, *SPEEDUPS) if (version := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _redis() -> str:
    program = shutil.which("redis-server")
    if program is None:
        return "none"
    text = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    return next((word[2:] for word in text.split() if word.startswith("v=")), "unknown")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
