"""What a container registry says of a tag: the digest of the image that it names now.

Speaks the registries' HTTP API, version 2: without an account, where a token for
reading is asked for if the registry wants one, as Docker Hub does; and at Artifact
Registry with Google's credentials.
"""

import hashlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request

import google.auth
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

from testudo.errors import CommandError
from testudo.image.dockerfile import Base

TIMEOUT_S = 30.0
MAX_MANIFEST_BYTES = 4_000_000  # as registries themselves limit it
UNAUTHORIZED = 401
# The index of all platforms first: its digest holds for whatever machine builds.
ACCEPTED = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
HOSTS = {"docker.io": "registry-1.docker.io"}
ARTIFACT_REGISTRY = ".pkg.dev"
READ_SCOPE = "https://www.googleapis.com/auth/cloud-platform.read-only"
TAGGED = re.compile(
    r"(?P<registry>[a-z0-9.-]+(:[0-9]+)?)/(?P<name>[a-z0-9._/-]+):(?P<tag>[\w][\w.-]{0,127})"
)


def by_digest(image: str) -> str:
    """The image by the digest that its tag names now; one that has a digest stays as it is.

    Raises CommandError for what is neither, and when the registry does not say.
    """
    if "@" in image:
        return image
    found = TAGGED.fullmatch(image)
    if not found:
        raise CommandError(f"{image!r} is neither REPOSITORY:TAG nor REPOSITORY@sha256:DIGEST")
    base = Base("", found["registry"], found["name"], found["tag"], "")
    return f"{base.registry}/{base.name}@sha256:{digest_of(base)}"


def digest_of(base: Base) -> str:
    """The SHA-256 of the base's manifest, computed from what the registry sends.

    As Docker does, a registry on this machine is asked without TLS.
    """
    try:
        manifest = _manifest(base)
    except (OSError, ValueError, KeyError, GoogleAuthError) as error:
        raise CommandError(f"{base}: {type(error).__name__}: {error}") from error
    if len(manifest) > MAX_MANIFEST_BYTES:
        raise CommandError(f"{base}: its manifest is longer than {MAX_MANIFEST_BYTES} bytes")
    return hashlib.sha256(manifest).hexdigest()


def _manifest(base: Base) -> bytes:
    host = HOSTS.get(base.registry, base.registry)
    scheme = "http" if host.split(":")[0] in ("localhost", "127.0.0.1") else "https"
    url = f"{scheme}://{host}/v2/{base.name}/manifests/{base.tag}"
    try:
        return _get(url, _google_token() if host.endswith(ARTIFACT_REGISTRY) else "")
    except urllib.error.HTTPError as error:
        if error.code != UNAUTHORIZED:
            raise
        challenge = error.headers.get("WWW-Authenticate", "")
    return _get(url, _token(challenge, scheme))


def _google_token() -> str:
    credentials, _ = google.auth.default(scopes=[READ_SCOPE])
    credentials.refresh(Request())
    return str(credentials.token)


def _token(challenge: str, scheme: str) -> str:
    """A token for reading, from where the registry says that there is one."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if not challenge.startswith("Bearer ") or not asked["realm"].startswith(f"{scheme}://"):
        raise ValueError(f"it wants {challenge!r}, which is not understood")
    query = urllib.parse.urlencode({key: asked[key] for key in ("service", "scope")})
    answer = json.loads(_get(f"{asked['realm']}?{query}", ""))
    return str(answer.get("token") or answer["access_token"])


def _get(url: str, token: str) -> bytes:
    headers = {"Accept": ", ".join(ACCEPTED)}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http(s), see above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the same
            body: bytes = answer.read(MAX_MANIFEST_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()  # it holds a connection for as long as it is read
        raise
    return body
