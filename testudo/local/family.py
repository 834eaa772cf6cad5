"""A process and what it started, on a machine with other work: none of that counts."""

from collections.abc import Iterable

import psutil

from testudo.watch import lives


def family_of(pid: int) -> list[psutil.Process]:
    """A process and everything below it, itself first; empty when it has ended."""
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.Error:
        return []


def living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended.

    One that has, and that nobody has waited for yet, holds nothing any more; nor is the one
    meant that has its number now.
    """
    return [process for process in processes if lives(process)]


def listening(processes: Iterable[psutil.Process]) -> set[tuple[str, int]]:
    """Addresses and ports at which these take TCP connections now."""
    found: set[tuple[str, int]] = set()
    for process in processes:
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue  # it has ended
        found |= {(each.laddr.ip, each.laddr.port) for each in connections
                  if each.status == psutil.CONN_LISTEN}  # fmt: skip
    return found
