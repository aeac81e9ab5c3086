"""Numbers in words."""


def counted(count, one, many=None):
    """``1 entry``, ``2 entries``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def size_text(shape, n_entries, times=" × "):
    return f"{shape[0]}{times}{shape[1]}, {counted(n_entries, 'entry', 'entries')}"
