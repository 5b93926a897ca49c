"""The command `hone`: starts the studio and its parts; data goes to stdout, talk to stderr; exit codes 0, 1 and 2."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from app.config import PROJECT_ROOT, Settings
from app.domain.tracking import Tracking, trackers_named

cli = typer.Typer(help="Hone: a fine-tuning studio for small language models.", no_args_is_help=True, add_completion=False)
token = typer.Typer(help="API keys.", no_args_is_help=True)
cli.add_typer(token, name="token")

Home = Annotated[Path | None, typer.Option("--home", help="Folder of the studio's data (HONE_HOME; default ./var).")]
NoBackup = Annotated[bool, typer.Option("--no-backup", help="Change an older database without copying it first (HONE_BACKUP).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_with(**given: object) -> Settings:
    """Return the environment's settings with the command line's over them."""
    from pydantic import ValidationError

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"HONE_{str(first['loc'][0]).upper()}: {first['msg'].removeprefix('Value error, ')}", code=2)


def fail(message: str, code: int = 1) -> NoReturn:
    """Say why, and end."""
    print(f"hone: {message}", file=sys.stderr)
    raise typer.Exit(code)


@cli.command()
def up(
    home: Home = None,
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on (default 8000; 0 picks a free one).")] = None,
    root_path: Annotated[str | None, typer.Option(help="Path under which a proxy serves it, e.g. /hone (default none).")] = None,
    no_workers: Annotated[bool, typer.Option("--no-workers", help="The web alone; workers run elsewhere.")] = False,
    no_backup: NoBackup = False,
    as_json: Json = False,
) -> None:
    """Run the whole studio on this machine, in the foreground; with --json the line that it is ready is {"ready": address}."""
    from app import launcher
    from app.gateways.starting import CannotStart

    settings = settings_with(
        home=home, host=host, port=port, root_path=root_path, workers=False if no_workers else None, backup=False if no_backup else None
    )
    try:
        code = launcher.up(settings, as_json=as_json)
    except CannotStart as error:
        fail(str(error))
    raise typer.Exit(code)


@cli.command()
def worker(
    queue: Annotated[str, typer.Option(help="gpu (trains) or cpu (imports).")],
    home: Home = None,
    slots: Annotated[int, typer.Option(min=1, max=64, help="How much work at once, on each device.")] = 1,
    device: Annotated[str | None, typer.Option(help="GPUs to train on: numbers or UUIDs of nvidia-smi -L, e.g. 0,1 (default all).")] = None,
    as_json: Json = False,
) -> None:
    """Run workers alone, one for each GPU: they poll the database, and listen to Redis where HONE_REDIS_URL is set.

    With --json each says when it is ready.
    """
    from app.gateways.gpus import NoSuchGpu, gpus_named, visible_gpus

    if queue not in {"gpu", "cpu"}:
        fail(f"--queue: there is no queue {queue!r}; there are gpu and cpu.", code=2)
    if device and queue == "cpu":
        fail("--device: the queue cpu reads files and takes no GPU.", code=2)
    settings = settings_with(home=home)
    os.environ["HONE_HOME"] = str(settings.home.resolve())
    options = ["--slots", str(slots), *(["--json"] if as_json else [])]
    try:
        gpus = gpus_named(device) if device else visible_gpus() if queue == "gpu" else []
    except NoSuchGpu as error:
        fail(f"--device: {error}", code=2)
    if len(gpus) > 1:
        from app import launcher

        raise typer.Exit(launcher.work(gpus, options))
    _become("workers.supervisor", "--queue", queue, "--alone", *options, *(["--device", gpus[0].uuid] if gpus else []))


@cli.command()
def migrate(home: Home = None, no_backup: NoBackup = False, as_json: Json = False) -> None:
    """Bring the database to this version's schema and end, for set-ups that start web and workers by themselves."""
    from app import launcher
    from app.gateways.starting import CannotStart, starting

    settings = settings_with(home=home, backup=False if no_backup else None)
    os.umask(0o077)
    try:
        with starting():
            launcher.prepare(settings)
    except CannotStart as error:
        fail(str(error))
    print(json.dumps({"migrated": True}) if as_json else "The database is up to date.")


@cli.command()
def backup(
    target: Annotated[Path, typer.Argument(help="A .tar file, or the folder where backups lie: each gets a folder of its own there.")],
    home: Home = None,
    keep: Annotated[int | None, typer.Option(min=1, help="Keep only the newest so many in the folder (default all).")] = None,
    as_json: Json = False,
) -> None:
    """Copy everything a studio keeps, while it runs: database, files, checkpoints, the key of its secrets. Read back before it counts."""
    from app.upkeep.commands import backup as make

    raise typer.Exit(make(settings_with(home=home), target, keep=keep, as_json=as_json))


@cli.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A backup: its folder or .tar file.")],
    home: Home = None,
    database_url: Annotated[str | None, typer.Option(help="An empty PostgreSQL database, for a backup of one (HONE_DATABASE_URL).")] = None,
    as_json: Json = False,
) -> None:
    """Bring a backup back into an empty home."""
    from app.upkeep.commands import restore as bring

    raise typer.Exit(bring(settings_with(home=home, database_url=database_url), source, as_json=as_json))


@cli.command()
def doctor(
    home: Home = None,
    *,
    deep: Annotated[bool, typer.Option("--deep", help="Also read every file and every checkpoint.")] = False,
    online: Annotated[bool, typer.Option("--online", help="Also see whether the Hugging Face Hub can be reached.")] = False,
    as_json: Json = False,
) -> None:
    """Look a studio over and say what is wrong and what to do; exit 1 when something is."""
    from app.upkeep.commands import doctor as look

    raise typer.Exit(look(settings_with(home=home), deep=deep, online=online, as_json=as_json))


@cli.command()
def estimate(  # noqa: PLR0913, PLR0917 - options, each by its name
    params: Annotated[str | None, typer.Option(help="How large the model is: 7e9, 7B, 350M.")] = None,
    model: Annotated[str | None, typer.Option(help="Or which one: hone-starter, a name of the catalogue, its Hub id, or a folder.")] = None,
    examples: Annotated[int, typer.Option(help="How many examples are trained on.")] = 1000,
    tokens: Annotated[float | None, typer.Option(help="Tokens of a mean example (default 1000).")] = None,
    tuning: Annotated[str | None, typer.Option(help="lora, qlora or full (default lora).")] = None,
    rank: Annotated[int | None, typer.Option(help="The adapter's rank (default 16).")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples for each step (default 8).")] = None,
    max_length: Annotated[int | None, typer.Option(help="Longest example in tokens (default 1024).")] = None,
    epochs: Annotated[float | None, typer.Option(help="How many times each example is seen (default 6).")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Say what a run will take before it starts: memory, time, money and energy on one's own devices and rented ones. Needs no network."""
    from app.estimating import Asked
    from app.estimating import estimate as work_out

    changed = {"tuning": tuning, "rank": rank, "batch_size": batch_size, "max_length": max_length, "epochs": epochs}
    asked = Asked(params, model, examples, tokens, changed)
    raise typer.Exit(work_out(settings_with(home=home), asked, as_json=as_json))


@token.command("create")
def create_token(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    home: Home = None,
    no_backup: NoBackup = False,
    as_json: Json = False,
) -> None:
    """Make an API key and print it: the only time it is shown."""
    from app import launcher
    from app.db.session import make_engine, unit_of_work
    from app.gateways.starting import CannotStart, starting
    from app.services.accounts import Accounts

    settings = settings_with(home=home, backup=False if no_backup else None)
    os.umask(0o077)
    try:
        with starting():
            launcher.prepare(settings)
            engine = make_engine(settings.database)
            with unit_of_work(engine) as session:
                accounts = Accounts(session)
                key, secret = accounts.create_key(accounts.ensure_owner(), name)
                made = {"id": key.id, "name": key.name, "key": secret}
            engine.dispose()
    except CannotStart as error:
        fail(str(error))
    print(json.dumps(made) if as_json else secret)


@cli.command()
def train(
    spec: Annotated[Path, typer.Argument(help="The run as YAML: base_model, dataset, settings …")],
    out: Annotated[Path, typer.Option(help="Folder for adapter, checkpoints and events.jsonl.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Train without a server; the same command again goes on where it was cut off. --json prints the last event; no home is needed."""
    if home:
        os.environ["HONE_HOME"] = str(home.resolve())
    try:
        # Alone: the settings of a studio are no matter of a trainer's, and one that is wrong is no reason not to train.
        trackers = trackers_named(os.environ.get("HONE_TRACKERS", ""))
    except ValueError as error:
        fail(f"HONE_TRACKERS: {error}", code=2)
    tracking = ["--tracking", Tracking(trackers=trackers, name=spec.stem).model_dump_json()] if trackers else []
    _become("workers.train", str(spec.resolve()), "--out", str(out.resolve()), *tracking, *(["--json"] if as_json else []))


def _become(module: str, *arguments: str) -> None:
    """Run a program of `workers` in place of this process, so that signals and exit codes are its own."""
    path = os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")]))
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], os.environ | {"PYTHONPATH": path})  # noqa: S606


def main() -> None:
    """Run the command line."""
    from app.gateways.logs import configure_logging

    # A command tells people itself what it does; of the log only what is wrong goes beside that.
    configure_logging("hone", level=logging.WARNING)
    cli()
