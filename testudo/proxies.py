"""This machine's own addresses are never reached through a proxy."""

from collections.abc import Mapping

LOOPBACK = ("127.0.0.1", "localhost")


def past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that lead clients past proxies to this machine.

    The exceptions that `environ` names already stay. Most clients read no_proxy or
    NO_PROXY; gRPC reads no_grpc_proxy, and no_proxy only where that is not set.
    """
    of_all = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    of_grpc = environ.get("no_grpc_proxy") or of_all
    everywhere = of_all if of_all.strip() == "*" else _with_loopback(of_all)
    return {
        "no_proxy": everywhere,
        "NO_PROXY": everywhere,
        "no_grpc_proxy": _with_loopback(of_grpc),
    }


def names_a_proxy(environ: Mapping[str, str]) -> bool:
    """Whether a variable leads clients to a proxy, or past one."""
    return any(name.lower().endswith("_proxy") for name in environ)


def _with_loopback(exceptions: str) -> str:
    named = [exception.strip() for exception in exceptions.split(",") if exception.strip()]
    return ",".join([*named, *(host for host in LOOPBACK if host not in named)])
