"""The pages: the form, and one page for each message that was sent."""

from __future__ import annotations

import re
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypedDict
from urllib.parse import parse_qs

from examples.contact_form.tasks import deliver, queue
from taskq import errors

MAX_BODY = 20_000
EMAIL = re.compile(r"[^@\s<>,;:\"]+@[^@\s<>,;:\"]+\.[^@\s<>,;:\"]+")
JOB = re.compile(r"/jobs/([0-9a-f]{24})")

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Contact</title>{refresh}
<style>body {{ font: 16px/1.5 sans-serif; max-width: 34em; margin: 2em auto; padding: 0 1em }}
label {{ display: block; margin-top: 1em }} input, textarea {{ width: 100% }}
.error {{ color: #a00 }}</style>
{body}
</html>
"""

FORM = """<h1>Contact</h1>
{errors}<form method="post" action="/contact">
<label>Name <input name="name" value="{name}" maxlength="100" required></label>
<label>E-mail <input name="email" type="email" value="{email}" maxlength="200" required></label>
<label>Message <textarea name="message" rows="8" maxlength="5000" required>{message}</textarea>
</label>
<p><button>Send</button></form>
"""


class Fields(TypedDict):
    """What the form holds."""

    name: str
    email: str
    message: str


def read_form(body: bytes) -> Fields:
    """The fields of a posted form; missing ones are empty.

    Raises:
        ValueError: the body is not a form, or not UTF-8.
    """
    fields = parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=20)
    name, email, message = (fields.get(key, [""])[0].strip() for key in Fields.__annotations__)
    return {"name": name, "email": email, "message": message.replace("\r\n", "\n")}


def faults(fields: Fields) -> list[str]:
    """What is wrong with a form; nothing if it can be sent."""
    found = []
    if not 1 <= len(fields["name"]) <= 100 or not fields["name"].isprintable():
        found.append("Please give your name, in one line of at most 100 letters.")
    if len(fields["email"]) > 200 or not EMAIL.fullmatch(fields["email"]):
        found.append("Please give an e-mail address that we can answer to.")
    if not 1 <= len(fields["message"]) <= 5000:
        found.append("Please write a message of at most 5,000 letters.")
    return found


def form_page(fields: Fields, wrong: list[str]) -> str:
    """The form, with what was typed and what is wrong with it."""
    told = "".join(f'<p class="error">{escape(sentence)}\n' for sentence in wrong)
    values = {key: escape(str(value)) for key, value in fields.items()}
    return PAGE.format(refresh="", body=FORM.format(errors=told, **values))


def job_page(state: str, attempts: int, answer: str) -> str:
    """How far a message is. `answer`: what the task returned, or empty."""
    text = {
        "sent": "Your message was sent. Thank you.",
        "spam": "Your message looks like advertising and was not sent.",
    }.get(answer)
    if text is None:
        text = {
            "ready": "Your message waits to be sent.",
            "leased": "Your message is being sent.",
            "scheduled": f"It could not be sent yet (attempt {attempts}); we try again.",
        }.get(state, f"Your message could not be sent ({state}).")
    open_yet = state in ("ready", "leased", "scheduled")
    refresh = '<meta http-equiv="refresh" content="1">' if open_yet else ""
    body = f'<h1>Contact</h1>\n<p id="state">{escape(text)}\n<p><a href="/">Another one</a>'
    return PAGE.format(refresh=refresh, body=body)


class Site(BaseHTTPRequestHandler):
    """GET / · POST /contact · GET /jobs/ID."""

    timeout = 30

    def do_GET(self) -> None:
        """The form, or the page of a message."""
        if self.path == "/":
            self._answer(200, form_page({"name": "", "email": "", "message": ""}, []))
        elif job := JOB.fullmatch(self.path):
            self._job(job[1])
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """Check a form, enqueue it, and send the browser to the page of the message."""
        if self.path != "/contact":
            return self.send_error(404)
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            return self.send_error(411)
        if int(length) > MAX_BODY:
            return self.send_error(413)
        try:
            fields = read_form(self.rfile.read(int(length)))
        except ValueError:
            return self.send_error(400)
        if wrong := faults(fields):
            return self._answer(422, form_page(fields, wrong))
        try:
            handle = deliver(**fields)  # on disk when this returns; the mail is sent later
        except errors.TaskqError as error:
            self.log_error("not enqueued: %s", error)
            return self.send_error(503)
        self.send_response(303)
        self.send_header("Location", f"/jobs/{handle.id}")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def _job(self, id: str) -> None:
        handle = queue.handle(id)
        try:
            info = handle.info()
            answer = handle.result(0) if info.state == "succeeded" else ""
        except errors.UnknownMessage:
            return self.send_error(404)
        return self._answer(200, job_page(info.state, info.attempts, answer))

    def _answer(self, status: int, page: str) -> None:
        data = page.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.end_headers()
        self.wfile.write(data)


def make_server(address: tuple[str, int]) -> ThreadingHTTPServer:
    """The web server; port 0 takes a free one."""
    return ThreadingHTTPServer(address, Site)
