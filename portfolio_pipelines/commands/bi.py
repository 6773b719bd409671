"""`portfolio bi`: what to type into a BI tool, and the door of the embedded server."""

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.resources.platform import Platform


def open_door(platform: Platform) -> None:
    """Let the read-only role in and print the settings for each tool.

    Raises:
        CommandError: If BI cannot be let in; the message says what to do.
    """
    from portfolio_pipelines.resources.bi_access import BiAccessError, connection_settings, open_for_bi

    try:
        connection = open_for_bi(platform.settings)
    except BiAccessError as error:
        raise CommandError(str(error)) from error
    for tool, text in connection_settings(connection, show_password=True).items():
        OUT.print(tool, style="bold")
        OUT.print(text, markup=False, soft_wrap=True)
        OUT.print()


def close_door(platform: Platform) -> None:
    """Close the port of the embedded server."""
    from portfolio_pipelines.database.embedded_tcp import close_tcp

    if platform.settings.database_url is not None:
        msg = "an external Postgres is set: its own administrator decides who may connect"
        raise CommandError(msg)
    close_tcp(platform.settings.postgres)
    OUT.print("The embedded server listens on its socket only.")
