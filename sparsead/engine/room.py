"""How much memory there is for a call, as far as the system tells.

Law: what is known to be too much is a MemoryError, before anything is done. Linux hands out memory that it does not have, and
kills processes when it is used; so a call is compared with what is left. What can be had by dropping files from memory, or by
swapping, counts as left: a call that could succeed is not refused.
"""

from __future__ import annotations

from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

WORTH_ASKING = 1 << 25  # bytes: the system answers in some 0.2 ms, and gives out so many pages in some 8 ms
UNLIMITED = 1 << 60  # what groups without a limit have as one


def require(nbytes, what, root="/"):
    """Raise MemoryError if `what`, which takes `nbytes`, is known to find no room."""
    if nbytes < WORTH_ASKING:
        return
    left, where = min(known(root), default=(nbytes, ""))
    if nbytes > left:
        raise MemoryError(f"{what} needs {amount(nbytes)}, available are {amount(max(left, 0))} ({where})")


def known(root="/"):
    """(bytes left, who says so) for each limit that is known."""
    root = Path(root)
    about = _table(root / "proc/meminfo", 1024)
    swap = about.get("SwapFree", 0)
    found = [(about["MemAvailable"] + swap, "memory of the system")] if "MemAvailable" in about else []
    return found + [(left, "limit of the control group") for left in _of_groups(root, swap)] + _of_process(root)


def _of_groups(root, swap):
    """Bytes left in the control groups that the process belongs to, version 1 or 2, and in those around them."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup" / controllers
            group = top / path.strip("/")
            for folder in (group, *group.parents):
                yield from _of_group(folder, swap)
                if folder == top:
                    break


def _of_group(folder, swap):
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        for left in _below(folder, limit, used):
            for more in _below(folder, "memory.swap.max", "memory.swap.current"):
                swap = min(swap, max(more, 0))
            yield left + _in_files(folder) + swap


def _in_files(folder):
    """Bytes that a group has in memory and on disk."""
    about = _table(folder / "memory.stat", 1)
    return sum(about.get("total_" + name, about.get(name, 0)) for name in ("active_file", "inactive_file", "slab_reclaimable"))


def _below(folder, limit, used):
    """What is left below a limit, as a list; empty if there is none."""
    most, now = _text(folder / limit).strip(), _text(folder / used).strip()
    return [int(most) - int(now)] if most.isdigit() and now.isdigit() and int(most) < UNLIMITED else []


def _of_process(root):
    """Bytes of address space left, if that is limited (``ulimit -v``)."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else -1
    pages = _text(root / "proc/self/statm").split()
    if resource is None or most in (-1, resource.RLIM_INFINITY) or not pages:
        return []
    return [(most - int(pages[0]) * resource.getpagesize(), "limit of the address space")]


def _table(path, unit):
    """Numbers by name, from lines of a name and a number."""
    words = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {name: int(number) * unit for name, number, *_ in words if number.isdigit()}


def _text(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def amount(nbytes):
    """Bytes as a text of three digits."""
    size, units = float(nbytes), ["B", "kB", "MB", "GB", "TB", "PB"]
    while size >= 999.5 and len(units) > 1:
        size, _ = size / 1000, units.pop(0)
    return f"{size:.3g} {units[0]}"
