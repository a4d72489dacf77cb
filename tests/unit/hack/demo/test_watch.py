"""Watching a cluster that answers over HTTP, with a pause now and then."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from hack.demo.play import ActFailedError, Play
from hack.demo.screen import Screen
from hack.demo.stage import Stage
from hack.demo.watch import OutOfSightError, Watch
from rich.console import Console
from typing_extensions import override

UNAVAILABLE, SOME = 503, 2


class Answers(BaseHTTPRequestHandler):
    """Refuses so many requests, and has nothing to show after them."""

    refusals = 0

    def do_GET(self) -> None:
        refused = type(self).refusals > 0
        type(self).refusals -= refused
        body = json.dumps({"items": [], "seconds": []}).encode()
        self.send_response(UNAVAILABLE if refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def watching(tmp_path: Path, *, refusals: int) -> Iterator[Watch]:
    Answers.refusals = refusals
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        kubeconfig = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [
                {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
            ],
            "users": [{"name": "me", "user": {}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(kubeconfig))
        try:
            yield Watch({"KUBECONFIG": str(path), "NO_PROXY": "127.0.0.1"})
        finally:
            server.shutdown()
            serving.join()


def play(watch: Watch) -> Play:
    return Play(cast("Stage", None), watch, Screen(Console(file=io.StringIO())))


def test_a_cluster_that_does_not_answer_once_does_not_end_the_story(tmp_path: Path) -> None:
    with watching(tmp_path, refusals=SOME) as watch:
        seen = play(watch)._until("anything", 30, lambda _: True)
    assert watch.history == [seen]


def test_a_cluster_that_never_answers_ends_the_act_with_its_words(tmp_path: Path) -> None:
    with (
        watching(tmp_path, refusals=1000) as watch,
        pytest.raises(ActFailedError, match=str(UNAVAILABLE)),
    ):
        play(watch)._until("anything", 0, lambda _: True)
    with pytest.raises(OutOfSightError):
        watch.look()


def test_the_local_cluster_is_not_looked_for_behind_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "elsewhere.example.com")
    with watching(tmp_path, refusals=0) as watch:
        assert watch.look().jobs == {}
