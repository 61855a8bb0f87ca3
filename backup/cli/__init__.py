"""The command line. Each verb is a module in `commands`; only `output` writes to stdout, only `diagnostics` to
stderr."""
