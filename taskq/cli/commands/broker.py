"""`taskq broker`: a broker in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from taskq.cli.support.failure import CliError
from taskq.cli.support.shared import Shared, broker_option, json_option, pass_shared, size_value


@click.command()
@click.option("--dir", "directory", type=click.Path(file_okay=False, path_type=Path),
              help="Where the journal, the key and the socket live.")  # fmt: skip
@click.option("--listen", default="unix", show_default=True, metavar="unix|tcp://HOST:PORT")
@click.option("--durability", type=click.Choice(["fsync", "os", "none"]), default="fsync",
              show_default=True, envvar="TASKQ_DURABILITY",
              help="fsync: survives power loss; os: any kill; none: memory only.")  # fmt: skip
@click.option("--authkey-file", type=click.Path(dir_okay=False, path_type=Path),
              help="The key.  [default: the file key in DIR, made if missing]")  # fmt: skip
@click.option("--idle-exit", type=float, metavar="SECONDS",
              help="Leave after so long without clients and with nothing due.")  # fmt: skip
@click.option("--max-messages", type=click.IntRange(min=0), default=0, metavar="N",
              envvar="TASKQ_MAX_MESSAGES", help="Keep at most so many, in all queues.")  # fmt: skip
@click.option("--max-bytes", type=size_value, metavar="SIZE", default="0", envvar="TASKQ_MAX_BYTES",
              help="Keep at most so many bytes of payloads, e.g. 2GiB.")  # fmt: skip
@click.option("--insecure", is_flag=True, help="Allow TCP beyond this machine, unencrypted.")
@broker_option
@json_option
@pass_shared
def command(
    shared: Shared,
    directory: Path | None,
    listen: str,
    durability: str,
    authkey_file: Path | None,
    idle_exit: float | None,
    insecure: bool,
    max_messages: int,
    max_bytes: int,
) -> None:
    """Run a broker in the foreground until TERM or INT.

    Name its directory with --dir, or with --broker NAME for the default place of that queue.
    """
    import logging
    import signal

    from taskq.broker.manager import Settings, describe
    from taskq.broker.run import exit_code, serve
    from taskq.cli.support.target import of_choice

    if directory is None and shared.broker:
        directory = of_choice(shared.broker).directory
    if directory is None:
        raise click.UsageError("say where the broker keeps its journal: --dir DIR")
    try:
        settings = Settings(
            directory=directory,
            listen=listen,
            durability=durability,
            authkey_file=authkey_file,
            idle_exit=idle_exit,
            insecure=insecure,
            max_messages=max_messages,
            max_bytes=max_bytes,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    level = {1: logging.DEBUG, 0: logging.WARNING}.get(shared.verbosity, logging.ERROR)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is no reason to stop

    def ready(url: str) -> None:
        if shared.as_json:
            click.echo(f'{{"ready": "{url}"}}')
        elif shared.verbosity >= 0:
            click.echo(f"broker ready at {url} (durability {durability}); stop it with Ctrl-C")

    def failed(error: Exception) -> None:
        raise CliError(describe(error), exit_code(error)) from error

    click.get_current_context().exit(serve(settings, ready=ready, failed=failed))
