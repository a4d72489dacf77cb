"""`python -m tidegate.runtime`: the one program of the runtime image."""

import argparse
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tidegate.api.meta import duration
from tidegate.api.names import EXIT_PERMANENT, EXIT_TRANSIENT, MODEL_DIR, MODEL_PORT, Reason
from tidegate.errors import TerminalError, TransientError
from tidegate.runtime.outcome import (
    StageError,
    failure,
    report,
    success,
)
from tidegate.runtime.threads import available_cpus, limit_threads

# The heavy libraries are imported inside the functions: `fetch` starts without scikit-learn, and
# the number of threads must be set before numpy is loaded.

STAGES = ("fetch", "validate", "train", "publish")
MODEL_LIMIT_BYTES = 4 << 30
INPUT_LIMIT_BYTES = 64 << 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its result is the exit code, a line on stdout and the termination log."""
    args = _parser().parse_args(arguments)
    stage = args.stage if args.command == "job" else args.command
    limit_threads(os.environ, 1 if stage in ("serve", "look") else available_cpus())
    code = 0
    try:
        line = success(stage, _run(args, os.environ))
    except TransientError as error:
        code = EXIT_TRANSIENT
        line = failure(stage, Reason.OBJECT_STORE_UNREACHABLE, str(error))
    except TerminalError as error:
        code = EXIT_PERMANENT
        field = error.field if isinstance(error, StageError) else ""
        line = failure(stage, error.reason, str(error), field=field)
    except Exception as error:  # noqa: BLE001 - the composition root: every end leaves its line
        traceback.print_exc()
        code = 1
        line = failure(stage, Reason.JOB_FAILED, f"{type(error).__name__}: {error}")
    report(line, args.termination_log)
    return code


def _run(args: argparse.Namespace, environment: Mapping[str, str]) -> Mapping[str, Any]:
    if args.command == "fetch-model":
        return _fetch_model(args, environment)
    if args.command == "look":
        return _look(args, environment)
    return _serve(args) if args.command == "serve" else _job(args, environment)


def _fetch_model(args: argparse.Namespace, environment: Mapping[str, str]) -> Mapping[str, Any]:
    from tidegate.clients.objectstore import ObjectStore
    from tidegate.runtime.fetch_model import fetch_model

    store = ObjectStore.from_environment(environment)
    return fetch_model(
        store,
        args.uri,
        args.digest,
        args.out,
        limit_bytes=args.max_bytes,
        patience=args.patience,
    )


def _look(args: argparse.Namespace, environment: Mapping[str, str]) -> Mapping[str, Any]:
    from tidegate.clients.objectstore import ObjectStore
    from tidegate.runtime.look import Question, look

    question = Question.from_environment(environment)
    store = ObjectStore.from_environment(environment)
    return look(question, args.model_dir, store, args.work, patience=args.patience)


def _job(args: argparse.Namespace, environment: Mapping[str, str]) -> Mapping[str, Any]:
    from tidegate.runtime.job import Job, Workspace

    job, work = Job.from_environment(environment), Workspace(args.work)
    if args.stage == "validate":
        from tidegate.runtime.validate import validate

        return validate(job, work)
    if args.stage == "train":
        from tidegate.runtime.train import train

        return train(job, work)
    from tidegate.clients.objectstore import ObjectStore

    store = ObjectStore.from_environment(environment)
    if args.stage == "publish":
        from tidegate.runtime.publish import publish

        return publish(job, work, store, patience=args.patience)
    from tidegate.runtime.fetch import fetch

    return fetch(job, work, store, limit_bytes=args.max_bytes, patience=args.patience)


def _serve(args: argparse.Namespace) -> Mapping[str, Any]:
    from tidegate.runtime.serve.model import Limits
    from tidegate.runtime.serve.server import serve

    serve(
        args.model_dir,
        args.name,
        host=args.host,
        port=args.port,
        grpc_port=args.grpc_port,
        limits=Limits(body_bytes=args.max_body_bytes, rows=args.max_rows),
        drain_seconds=args.drain,
        allow_unsafe=args.allow_unsafe,
        wanted=args.format,
    )
    return {}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tidegate-runtime", description=__doc__)
    parser.add_argument(
        "--termination-log",
        type=Path,
        default=Path("/dev/termination-log"),
        help="where the closing line is left for the kubelet",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    model = commands.add_parser("fetch-model", help="download a model and verify its digest")
    model.add_argument("--uri", required=True, help="the folder, such as s3://models/churn/v7/")
    model.add_argument("--digest", required=True, help="sha256:… of the folder")
    model.add_argument("--out", type=Path, default=Path(MODEL_DIR), help="where to put it")
    _add_store_options(model, MODEL_LIMIT_BYTES)

    job = commands.add_parser("job", help="one stage of a TrainingJob (env TIDEGATE_JOB)")
    job.add_argument("stage", choices=STAGES)
    job.add_argument("--work", type=Path, default=Path("/work"), help="shared by all stages")
    _add_store_options(job, INPUT_LIMIT_BYTES)

    look = commands.add_parser("look", help="compare logged rows with reference rows")
    look.add_argument("--model-dir", type=Path, default=Path(MODEL_DIR))
    look.add_argument("--work", type=Path, default=Path("/tmp"), help="for parts of the log")  # noqa: S108 - a volume of the pod's own
    _add_patience(look)

    serve = commands.add_parser("serve", help="serve a model over OIP v2 and KServe V1")
    serve.add_argument("--model-dir", type=Path, default=Path(MODEL_DIR))
    serve.add_argument("--name", required=True, help="the model's name in the paths")
    serve.add_argument("--host", default="0.0.0.0", help="probes come from outside the pod")  # noqa: S104 - as the help says
    serve.add_argument("--port", type=int, default=MODEL_PORT)
    serve.add_argument("--grpc-port", type=int, help="serve OIP v2 over gRPC too, on this port")
    serve.add_argument("--max-body-bytes", type=int, default=4 << 20)
    serve.add_argument("--max-rows", type=int, default=10_000, help="rows in one request")
    serve.add_argument(
        "--drain",
        type=_seconds,
        help="how long to go on answering after SIGTERM; 5s by default, with gRPC 13s",
    )
    serve.add_argument(
        "--format",
        default=os.environ.get("TIDEGATE_FORMAT"),
        help="the only format to load; any, if not given (env TIDEGATE_FORMAT)",
    )
    serve.add_argument(
        "--allow-unsafe", action="store_true", help="load Joblib models, which run code"
    )
    return parser


def _add_store_options(parser: argparse.ArgumentParser, limit_bytes: int) -> None:
    _add_patience(parser)
    parser.add_argument(
        "--max-bytes", type=int, default=limit_bytes, help="refuse to download more"
    )


def _add_patience(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--patience",
        type=_seconds,
        default=os.environ.get("TIDEGATE_STORE_PATIENCE", "5m"),
        help="how long to wait for an object store that is down (env TIDEGATE_STORE_PATIENCE)",
    )


def _seconds(text: str) -> float:
    try:
        return duration(text).total_seconds()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
