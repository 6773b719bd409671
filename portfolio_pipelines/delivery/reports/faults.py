"""Why a report cannot be made, in words for the person who asked for it."""


class ReportUnavailableError(LookupError):
    """There is nothing to report on: an unknown user, a range without a day, a warehouse that was never built."""
