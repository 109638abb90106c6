"""The processes of loaders, as the machine that is the node sees them."""

import os
from pathlib import Path


def loader_process(pod_uid: str) -> Path:
    """Find the loader's process in a pod, as its folder of /proc."""
    names = (name for name in os.listdir("/proc") if name.isdigit())
    (found,) = (folder for folder in map(Path("/proc").joinpath, names) if _is_it(folder, pod_uid))
    return found


def _is_it(folder: Path, pod_uid: str) -> bool:
    try:
        command = (folder / "cmdline").read_bytes().split(b"\0")
        groups = (folder / "cgroup").read_text()
    except OSError:  # it has ended since
        return False
    return b"c2d_pods.loader" in command and pod_uid in groups


def peak_memory(process: Path) -> int:
    """Tell the most memory, in bytes, that a process has held, mapped files among it."""
    lines = (process / "status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def anonymous_memory(process: Path) -> int:
    """Tell how many bytes a process' cgroup holds that are no cache of files."""
    lines = (_memory_group(process) / "memory.stat").read_text().splitlines()
    values = dict(line.split() for line in lines)
    return int(values.get("anon") or values["total_rss"])


def _memory_group(process: Path) -> Path:
    """Find the cgroup that accounts for a process' memory, of version 1 or 2."""
    for line in (process / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            for root in _mounted("memory" if controllers else ""):
                group = root / path.lstrip("/")
                if (group / "memory.stat").exists():
                    return group
    raise AssertionError(f"no cgroup accounts for the memory of {process}")


def _mounted(controller: str) -> list[Path]:
    kind = "cgroup" if controller else "cgroup2"
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [
        Path(words[1])
        for words in mounts
        if words[2] == kind and (not controller or controller in words[3].split(","))
    ]
