"""What can go wrong, and the exit status that says so."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_MISSING = 3


class EngineError(Exception):
    """A sentence for a person, and the exit status of the command."""

    status = EXIT_FAILED


class UsageError(EngineError):
    status = EXIT_USAGE


class MissingError(EngineError):
    """Something isn't installed or fetched. `needs` is a list of (what is missing, the command that installs it)."""

    status = EXIT_MISSING

    def __init__(self, needs):
        self.needs = list(dict.fromkeys(needs))
        super().__init__("\n".join(f"missing: {what}\n  install: {how}" for what, how in self.needs))
