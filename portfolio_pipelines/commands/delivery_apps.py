"""The commands below `portfolio channels` and `portfolio outbox`, as `cli` mounts them.

Each parses, calls one function of `commands.channels` or `commands.outbox` and prints. Heavy parts are imported inside
the commands.
"""

from typing import Annotated

import typer

from portfolio_pipelines.commands.watched_apps import Form, OfUser, RowFormat

channels = typer.Typer(
    help="Where messages go: mail, webhooks, push and chat, of users and of the operators.", no_args_is_help=True
)
outbox = typer.Typer(help="What is owed to people, what was given up; sending it.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(metavar="CHANNEL", help="Its number, as `portfolio channels list` shows it.")]


@channels.command("add")
def add(
    user: Annotated[str, typer.Argument(help="Whose; @operators for the operators of the installation.")],
    kind: Annotated[str, typer.Argument(help="email, webhook, ntfy or apprise.")],
    address: Annotated[str, typer.Argument(help="Mail address, https:// address, topic, or Apprise address.")],
    least_severity: Annotated[
        str,
        typer.Option("--from-severity", metavar="SEVERITY", help="Leave out what is below: info, warning, critical."),
    ] = "info",
    time_zone: Annotated[
        str | None, typer.Option("--zone", help="Give times in this zone, too, such as Europe/Berlin.")
    ] = None,
) -> None:
    """Add a channel, and send a code through it that proves who reads it.

    A webhook gets a signing secret, which is shown this once.

    Example: `portfolio channels add ann email ann@example.com --zone Europe/Berlin`
    """
    from portfolio_pipelines.commands import channels as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.add_channel(open_platform(), user, kind, address, least_severity=least_severity, time_zone=time_zone)


@channels.command("verify")
def verify(channel: Number, code: Annotated[str, typer.Argument(help="The code that was sent there.")]) -> None:
    """Verify a channel by its code; messages go there from then on.

    Example: `portfolio channels verify 3 40718825`
    """
    from portfolio_pipelines.commands import channels as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.verify_channel(open_platform(), channel, code)


@channels.command("list")
def list_channels(user: OfUser = None, form: Form = RowFormat.TABLE) -> None:
    """List channels with their states and what waits for them.

    Example: `portfolio channels list --user ann`
    """
    from portfolio_pipelines.commands import channels as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.show_channels(open_platform(), user, form.value)


@channels.command("pause")
def pause(channel: Number) -> None:
    """Send nothing for now; what happens meanwhile is not sent later, but scheduled exports wait.

    Example: `portfolio channels pause 3`
    """
    from portfolio_pipelines.commands import channels as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.pause_channel(open_platform(), channel)


@channels.command("resume")
def resume(channel: Number) -> None:
    """Send again to a channel that was paused, or that waits because its receiver was silent.

    Example: `portfolio channels resume 3`
    """
    from portfolio_pipelines.commands import channels as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.resume_channel(open_platform(), channel)


@channels.command("delete")
def delete(channel: Number) -> None:
    """Forget the address and the secrets of a channel; what waits for it is abandoned.

    Example: `portfolio channels delete 3`
    """
    from portfolio_pipelines.commands import channels as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.delete_channel(open_platform(), channel)


@channels.command("rotate-secret")
def rotate_secret(channel: Number) -> None:
    """Give a webhook a new signing secret; for a day both sign.

    Example: `portfolio channels rotate-secret 3`
    """
    from portfolio_pipelines.commands import channels as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.rotate_secret(open_platform(), channel)


@channels.command("test")
def test(channel: Number) -> None:
    """Send a test message; to a channel that is not verified yet a new code.

    Example: `portfolio channels test 3`
    """
    from portfolio_pipelines.commands import channels as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.test_channel(open_platform(), channel)


@channels.command("seal-again")
def seal_again() -> None:
    """Encrypt all addresses and secrets with the newest key of PORTFOLIO_SECRETS_KEY.

    Example: `PORTFOLIO_SECRETS_KEY=new,old portfolio channels seal-again`
    """
    from portfolio_pipelines.commands import channels as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.seal_again(open_platform())


@outbox.command("list")
def list_outbox(
    user: OfUser = None,
    status: Annotated[
        str | None, typer.Option(help="pending, sending, delivered, dead, abandoned or no_channel.")
    ] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="How many, from the newest.")] = 50,
    form: Form = RowFormat.TABLE,
) -> None:
    """List messages with the state of their delivery to each channel.

    Example: `portfolio outbox list --status dead`
    """
    from portfolio_pipelines.commands import outbox as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.show_outbox(open_platform(), user, status, most, form.value)


@outbox.command("retry")
def retry(
    deliveries: Annotated[list[int] | None, typer.Argument(metavar="[DELIVERY]...", help="Their numbers.")] = None,
    channel: Annotated[int | None, typer.Option(help="All that are dead of this channel.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are dead.")] = False,
) -> None:
    """Try again what was given up, from the first attempt on.

    Example: `portfolio outbox retry --channel 3`
    """
    from portfolio_pipelines.commands import outbox as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.retry(open_platform(), deliveries or [], channel, everything=everything)


@outbox.command("dispatch")
def dispatch(
    follow: Annotated[bool, typer.Option("--follow", help="Go on: send whatever comes, the moment it comes.")] = False,
) -> None:
    """Send what is due, then end. Any number of these may run at once.

    Example: `portfolio outbox dispatch --follow`
    """
    from portfolio_pipelines.commands import outbox as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.dispatch(open_platform(), follow=follow)
