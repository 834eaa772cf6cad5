"""What Google's services refuse, in words; commands of the cloud run inside this."""

import contextlib
from collections.abc import Iterator

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError

from testudo.errors import CommandError

LOGIN = "`gcloud auth application-default login` gives this machine credentials"


@contextlib.contextmanager
def google_errors(service: str) -> Iterator[None]:
    """Raises CommandError for every error that a service, or the way to it, may give."""
    try:
        yield
    except GoogleAPICallError as error:
        raise CommandError(f"{service} refused: {error.message}") from error
    except GoogleAuthError as error:
        raise CommandError(f"{error}\n{LOGIN}") from error
    except (RetryError, OSError) as error:
        raise CommandError(str(error)) from error
