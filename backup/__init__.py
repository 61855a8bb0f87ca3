"""The headless core: configuration, credentials, journal, worker, command line. Never imports Textual."""

__version__ = "0.1.0"
