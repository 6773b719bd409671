"""The commands below `portfolio alerts`, as `cli` mounts them.

Each parses, calls one function of `commands.alerts` and prints. Heavy parts are imported inside the commands.
"""

from typing import Annotated

import typer

from portfolio_pipelines.commands.watched_apps import Form, OfUser, RowFormat

alerts = typer.Typer(help="Alert rules: what should be told when, and what was found.", no_args_is_help=True)

RuleId = Annotated[int, typer.Argument(metavar="RULE", help="Its number, as `portfolio alerts list` shows it.")]
Above = Annotated[str | None, typer.Option("--above", metavar="X", help="Warn when the figure rises above it.")]
Below = Annotated[str | None, typer.Option("--below", metavar="X", help="Warn when the figure falls below it.")]
Beyond = Annotated[str | None, typer.Option("--beyond", metavar="X", help="Warn when it is larger, up or down.")]
Info = Annotated[str | None, typer.Option("--info", metavar="X", help="A threshold before it, only worth knowing.")]
Critical = Annotated[str | None, typer.Option("--critical", metavar="X", help="A threshold after it, critical.")]
Span = Annotated[str | None, typer.Option("--span", metavar="DAYS", help="Watch the change, or window, of so long.")]
Back = Annotated[
    str | None, typer.Option("--hysteresis", metavar="X", help="How far back it must come; default 5 % of X.")
]
Cooldown = Annotated[
    str | None,
    typer.Option("--cooldown", metavar="MINUTES", help="Default 1440 for info, 60 for warning, 15 for critical."),
]
Coverage = Annotated[
    str | None, typer.Option("--min-coverage", metavar="SHARE", help="Least fresh data; default 0.95.")
]
Note = Annotated[str | None, typer.Option("--note", help="Words of yours that come with every message.")]


@alerts.command("add")
def add_alert(
    metric: Annotated[str, typer.Argument(help="One of `portfolio alerts metrics`.")],
    subject: Annotated[str | None, typer.Argument(help="Which asset, pool, position, strategy; see metrics.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Whose rule.")] = None,
    operators: Annotated[bool, typer.Option("--operators", help="A rule of the operators instead.")] = False,
    above: Above = None,
    below: Below = None,
    beyond: Beyond = None,
    info: Info = None,
    critical: Critical = None,
    span: Span = None,
    hysteresis: Back = None,
    cooldown: Cooldown = None,
    min_coverage: Coverage = None,
    note: Note = None,
) -> None:
    """Add a rule. Negative numbers need an equals sign: `--below=-20`.

    Example: `portfolio alerts add price BTC --user ann --span 1 --beyond 5 --critical 10`
    """
    from portfolio_pipelines.commands import alerts as commands
    from portfolio_pipelines.commands.console import CommandError, open_platform, readable_errors

    options = {
        "above": above, "below": below, "beyond": beyond, "info": info, "critical": critical, "span": span,
        "hysteresis": hysteresis, "cooldown": cooldown, "min_coverage": min_coverage, "note": note,
    }  # fmt: skip
    with readable_errors():
        if operators is (user is not None):
            msg = "say whose rule it is: --user USER or --operators, one of both"
            raise CommandError(msg)
        commands.add_alert(open_platform(), metric, subject, user, options)


@alerts.command("edit")
def edit_alert(
    rule: RuleId,
    subject: Annotated[str | None, typer.Option("--subject", help="Watch another one.")] = None,
    above: Above = None,
    below: Below = None,
    beyond: Beyond = None,
    info: Info = None,
    critical: Critical = None,
    span: Span = None,
    hysteresis: Back = None,
    cooldown: Cooldown = None,
    min_coverage: Coverage = None,
    note: Note = None,
    paused: Annotated[bool | None, typer.Option("--pause/--resume", help="Stop it for a while, or go on.")] = None,
) -> None:
    """Change a rule; what is not given stays. One that watches something else now starts over, armed.

    Example: `portfolio alerts edit 3 --beyond 8 --cooldown 120`
    """
    from portfolio_pipelines.commands import alerts as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    options = {
        "above": above, "below": below, "beyond": beyond, "info": info, "critical": critical, "span": span,
        "hysteresis": hysteresis, "cooldown": cooldown, "min_coverage": min_coverage, "note": note,
    }  # fmt: skip
    with readable_errors():
        commands.edit_alert(open_platform(), rule, subject, options, paused=paused)


@alerts.command("list")
def list_alerts(
    user: OfUser = None,
    operators: Annotated[bool, typer.Option("--operators", help="Those of the operators alone.")] = False,
    form: Form = RowFormat.TABLE,
) -> None:
    """List rules with where they stand.

    Example: `portfolio alerts list --user ann`
    """
    from portfolio_pipelines.commands import alerts as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.show_alerts(open_platform(), user, form.value, operators=operators)


@alerts.command("metrics")
def list_metrics(form: Form = RowFormat.TABLE) -> None:
    """List what rules can watch, with unit, subject and span.

    Example: `portfolio alerts metrics`
    """
    from portfolio_pipelines.commands import alerts as commands
    from portfolio_pipelines.commands.console import readable_errors

    with readable_errors():
        commands.show_metrics(form.value)


@alerts.command("delete")
def delete_alert(rule: RuleId) -> None:
    """Delete a rule; what it found stays in the history.

    Example: `portfolio alerts delete 3`
    """
    from portfolio_pipelines.commands import alerts as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.delete_alert(open_platform(), rule)


@alerts.command("test")
def try_alert(
    rule: RuleId,
    send: Annotated[bool, typer.Option("--send", help="Put a test message into the outbox.")] = False,
) -> None:
    """Say what a rule sees now and what it would do; nothing changes and nothing is sent.

    Example: `portfolio alerts test 3`
    """
    from portfolio_pipelines.commands import alerts as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.try_alert(open_platform(), rule, send=send)


@alerts.command("history")
def show_history(
    rule: Annotated[int | None, typer.Argument(metavar="[RULE]", help="Of one rule; default of all.")] = None,
    user: OfUser = None,
    last: Annotated[int, typer.Option("--last", min=1, max=100_000, help="How many, the newest first.")] = 50,
    form: Form = RowFormat.TABLE,
) -> None:
    """Show what rules found: fired, raised, held back, resolved, could not tell.

    Example: `portfolio alerts history 3 --last 10`
    """
    from portfolio_pipelines.commands import alerts as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.show_history(open_platform(), rule, user, last, form.value)


@alerts.command("evaluate")
def evaluate_alerts() -> None:
    """Evaluate the rules of which the data is new; `portfolio run` and Dagster's sensor do it by themselves.

    Example: `portfolio alerts evaluate`
    """
    from portfolio_pipelines.commands import alerts as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.evaluate_alerts(open_platform())
