"""The credential store: backends of the keyring library, and nothing else. Importing this loads no backend."""

from backup.credentials.entry import Credentials
from backup.credentials.errors import CredentialStoreError
from backup.credentials.store import CredentialStore

__all__ = ["CredentialStore", "CredentialStoreError", "Credentials"]
