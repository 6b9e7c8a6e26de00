"""The examples, run as their first lines say."""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest

from examples.contact_form.sink import MailSink
from tests.kit.files import ROOT
from tests.kit.terminal import Terminal
from tests.kit.waiting import wait_until

ONE_MINUTE_PROGRAM = """\
from taskq import TaskQueue

queue = TaskQueue("my-queue")


@queue.task
def fib(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


fib100k = fib(100_000)
print(str(fib100k())[-6:])
"""


# --- fib ----------------------------------------------------------------------------------------


def test_fib_is_the_one_minute_program() -> None:
    text = (ROOT / "examples" / "fib.py").read_text()
    program = text.split('"""')[2].strip() + "\n"
    assert re.sub(r"  # .*", "", program) == ONE_MINUTE_PROGRAM


@pytest.mark.parametrize("command", [("-m", "examples.fib"), ("examples/fib.py",)])
def test_fib_in_two_terminals_the_worker_first(
    terminal: Terminal, command: tuple[str, ...]
) -> None:
    worker = terminal.start("-m", "taskq", "worker", "examples.fib:queue")
    assert terminal.run(*command).stdout == "746875\n"
    assert terminal.end(worker) == 0


def test_fib_in_two_terminals_the_program_first(terminal: Terminal) -> None:
    program = terminal.start("-m", "examples.fib")
    wait_until(lambda: terminal.broker_pid("my-queue"))
    terminal.start("-m", "taskq", "worker", "examples.fib:queue")
    assert program.communicate(timeout=30)[0] == "746875\n"
    assert program.returncode == 0


# --- the index ----------------------------------------------------------------------------------


def check_index(text: str) -> None:
    assert text.startswith("40 files, ")
    assert "most common names:" in text
    assert re.search(r"\d  self\n", text)


def test_stdlib_index_with_its_own_workers(terminal: Terminal) -> None:
    done = terminal.run("-m", "examples.stdlib_index", "--workers", "2", "--limit", "40")
    check_index(done.stdout)


def test_stdlib_index_with_a_worker_in_another_terminal(terminal: Terminal) -> None:
    terminal.start("-m", "taskq", "worker", "examples.stdlib_index:queue", "-c", "2")
    check_index(terminal.run("-m", "examples.stdlib_index", "--limit", "40").stdout)


# --- the contact form ---------------------------------------------------------------------------

FORM = {"name": "<b>Ann</b>", "email": "ann@example.org", "message": "Hello\n.dot & <i>"}


class Browser:
    """Opens pages of the contact form; does not follow redirects."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._opener = urllib.request.build_opener(_NoRedirect)

    def get(self, path: str) -> tuple[int, str]:
        return self._open(urllib.request.Request(self.base + path))[:2]

    def post(self, fields: dict[str, str] | bytes, path: str = "/contact") -> tuple[int, str, str]:
        data = fields if isinstance(fields, bytes) else urllib.parse.urlencode(fields).encode()
        return self._open(urllib.request.Request(self.base + path, data))

    def _open(self, request: urllib.request.Request) -> tuple[int, str, str]:
        try:
            with self._opener.open(request, timeout=10) as reply:
                return reply.status, reply.read().decode(), ""
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers.get("Location", "")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def open_form(terminal: Terminal, *args: str, **environment: str) -> Browser:
    process = terminal.start(
        *("-m", "examples.contact_form", "--port", "0", "--smtp-port", "0", *args), **environment
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "http://" in line, process.stderr and process.stderr.read()
    return Browser(line.split()[-1].rstrip("/"))


def test_contact_form_sends_a_mail(terminal: Terminal) -> None:
    mbox = terminal.directory / "mbox"
    browser = open_form(terminal, "--mbox", str(mbox))
    status, _, place = browser.post(FORM)
    assert status == 303
    wait_until(lambda: "Your message was sent" in browser.get(place)[1])
    mail = mbox.read_text()
    assert "Subject: Message from <b>Ann</b>" in mail
    assert f"<{place.rpartition('/')[2]}@contact-form.example.org>" in mail
    assert "\n.dot & <i>\n" in mail


def test_contact_form_sends_no_spam(terminal: Terminal) -> None:
    mbox = terminal.directory / "mbox"
    browser = open_form(terminal, "--mbox", str(mbox))
    _, _, place = browser.post(FORM | {"message": "Win at our CASINO"})
    wait_until(lambda: "looks like advertising" in browser.get(place)[1])
    assert not mbox.exists()


def test_contact_form_checks_what_it_is_given(terminal: Terminal) -> None:
    browser = open_form(terminal, "--workers", "0", "--no-sink")
    status, page, _ = browser.post(FORM | {"email": "no address"})
    assert status == 422
    assert "&lt;b&gt;Ann" in page
    assert "<b>Ann" not in page
    for fields in ({}, FORM | {"name": "two\nlines"}, FORM | {"message": "x" * 5001}):
        assert browser.post(fields)[0] == 422
    assert browser.post(b"x" * 30_000)[0] == 413
    assert browser.post(b"name=%ff")[0] == 400
    assert browser.post(FORM, "/other")[0] == 404
    assert browser.get("/jobs/" + "0" * 24)[0] == 404
    assert browser.get("/jobs/../x")[0] == 404
    assert browser.get("/")[0] == 200
    assert terminal.broker_pid("contact-form") == 0 or (
        terminal.data("queue", "ls", "--broker", "contact-form") == []
    )


def test_contact_form_tries_again_until_the_mail_server_is_back(terminal: Terminal) -> None:
    mbox = terminal.directory / "mbox"
    with MailSink(("127.0.0.1", 0), mbox) as sink:
        address = sink.server_address  # bound, and closed before anybody uses it
    browser = open_form(terminal, "--no-sink", CONTACT_SMTP=f"127.0.0.1:{address[1]}")
    _, _, place = browser.post(FORM)
    wait_until(lambda: "could not be sent yet" in browser.get(place)[1])
    with MailSink(("127.0.0.1", int(address[1])), mbox) as sink:
        thread = threading.Thread(target=sink.serve_forever)
        thread.start()
        wait_until(lambda: "Your message was sent" in browser.get(place)[1])
        sink.shutdown()
        thread.join()
    assert "Message from" in mbox.read_text()
