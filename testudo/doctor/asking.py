"""Questions to Google's REST interfaces with bounds of a check, not of a deployment."""

from collections.abc import Iterator, Mapping, Sequence

from testudo.rest import Body, call

REQUEST_TIMEOUT_S = 10.0
RETRY_FOR_S = 5.0


def ask(service: str, path: str, *, query: Mapping[str, str | Sequence[str]] | None = None) -> Body:
    """Read one thing; raises what `testudo.rest.call` does."""
    return call(
        service,
        "GET",
        path,
        query=query,
        timeout_s=REQUEST_TIMEOUT_S,
        retry_for_s=RETRY_FOR_S,
    )


def ask_pages(service: str, path: str, field: str, query: Mapping[str, str]) -> Iterator[Body]:
    """What a list has under `field`, over all its pages."""
    token = ""
    while True:
        page = ask(service, path, query={**query, **({"pageToken": token} if token else {})})
        yield from page.get(field, [])
        token = page.get("nextPageToken", "")
        if not token:
            return


def allowed(service: str, path: str, permissions: Sequence[str]) -> set[str]:
    """Those of the permissions that the caller has; asking changes nothing."""
    if service == "storage":
        found = ask(service, path, query={"permissions": permissions})
    else:
        body = {"permissions": list(permissions)}
        found = call(service, "POST", path, body=body, timeout_s=REQUEST_TIMEOUT_S)
    return set(found.get("permissions", []))
