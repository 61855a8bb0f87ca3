"""Who signs: the keys of the form, or what AWS's own chain finds. botocore is loaded only for the chain."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from providers.aws_s3.signature import Keys
from providers.errors import Authentication, InvalidConfiguration, ProviderError
from providers.secret import Secret

if TYPE_CHECKING:
    from providers.aws_s3.settings import Settings


class KeySource:
    """Keys are looked up when they are first needed, which may ask the network (role of the machine, SSO), and
    renewed by botocore when they are about to expire."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._own: Keys | None = None
        self._chain: Any = None
        if settings.access_key:
            if not settings.secret_key:
                raise InvalidConfiguration(
                    "secret_key: missing, but there is an access key", field="secret_key", hint="Use set-credentials."
                )
            self._own = Keys(settings.access_key, settings.secret_key, settings.session_token)

    @property
    def described(self) -> str:
        """Whose keys they are, without asking for them."""
        if self._settings.access_key:
            return self._settings.access_key
        return f"profile {self._settings.profile}" if self._settings.profile else "AWS chain"

    def __call__(self) -> Keys:
        """Raises Authentication when there are none."""
        return self._own or self._from_chain()

    def region(self) -> str:
        """What the profile or the environment says; '' when they say nothing. Reads files, not the network."""
        if self._own and not self._settings.profile:
            return ""
        from botocore.exceptions import BotoCoreError

        try:
            return str(self._session().get_config_variable("region") or "")
        except (BotoCoreError, OSError) as error:
            raise self._meant(error) from error

    def _session(self) -> Any:
        import botocore.session

        return botocore.session.Session(profile=self._settings.profile or None)

    def _meant(self, error: Exception) -> ProviderError:
        """botocore's errors, the plain ones included that it lets through; what they say may hold no secret of ours."""
        from botocore.exceptions import ConfigParseError, ProfileNotFound

        if isinstance(error, ProfileNotFound):
            return InvalidConfiguration(
                f"profile: there is no {self._settings.profile!r} in ~/.aws/config or ~/.aws/credentials",
                field="profile",
            )
        if isinstance(error, (ConfigParseError, OSError)):
            return InvalidConfiguration(
                f"the files of the AWS chain cannot be read: {error}",
                field="profile",
                hint="Repair ~/.aws/config and ~/.aws/credentials, or use set-credentials.",
            )
        return Authentication(
            f"the AWS chain gave no credentials: {type(error).__name__}",
            hint="Renew them (aws sso login), or use set-credentials.",
        )

    def _from_chain(self) -> Keys:
        from botocore.exceptions import BotoCoreError

        with self._lock:
            try:
                if self._chain is None:
                    self._chain = self._session().get_credentials()
                if self._chain is None:
                    raise Authentication(
                        "no access key is set, and the AWS chain (environment, profile, role) finds none",
                        hint="Use set-credentials, or name a profile.",
                    )
                frozen = self._chain.get_frozen_credentials()
            except (BotoCoreError, OSError, RuntimeError) as error:  # the last: what it renewed has expired already
                raise self._meant(error) from error
        token = Secret(frozen.token) if frozen.token else None
        return Keys(frozen.access_key, Secret(frozen.secret_key), token)
