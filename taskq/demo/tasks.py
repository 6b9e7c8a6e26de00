"""The tasks of the demo. Workers import this module; each task writes into the diary."""

from __future__ import annotations

import keyword
import os
import re
import smtplib
import time
import tokenize
from collections import Counter
from email.message import EmailMessage
from pathlib import Path

from taskq import Priority, TaskQueue, current
from taskq.demo.diary import recorded
from taskq.protocol.backoff import Backoff

queue = TaskQueue("demo", result_ttl="10m")

SOON = Backoff(base=0.1, factor=2, max=1, jitter=False)
SPAM = re.compile(r"casino|free money|https?://\S+.*https?://\S+", re.IGNORECASE | re.DOTALL)


@queue.task
@recorded
def fib(n: int) -> int:
    """The n-th Fibonacci number."""
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


@queue.task
@recorded
def index(path: str) -> tuple[int, dict[str, int]]:
    """How many lines a Python file has, and how often each name occurs in it."""
    names: Counter[str] = Counter()
    lines = 0
    try:
        with tokenize.open(path) as file:
            for token in tokenize.generate_tokens(file.readline):
                lines = token.end[0]
                if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                    names[token.string] += 1
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
        pass  # what a distribution adds may be broken, or written for another Python
    return lines, dict(names)


@queue.task(retries=3, backoff=SOON)
@recorded
def answer_form(form: dict[str, str], port: int) -> str:
    """What happens behind a contact form: look for spam, else send the mail."""
    if SPAM.search(form["message"]):
        return "spam"
    mail = EmailMessage()
    mail["From"] = "form@example.org"
    mail["To"] = "office@example.org"
    mail["Reply-To"] = form["email"]
    mail["Subject"] = f"Message from {form['name']}"
    mail.set_content(form["message"])
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as server:
        server.send_message(mail)
    return "sent"


@queue.task(priority=Priority.HIGH, retries=3, backoff=SOON)
@recorded
def flaky() -> int:
    """Fails twice; returns the number of the attempt that did not."""
    attempt = current().attempt
    if attempt <= 2:
        raise ConnectionError(f"the service is down (attempt {attempt})")
    return attempt


@queue.task(priority=Priority.HIGH, retries=1, backoff=SOON)
@recorded
def needs_file(path: str) -> str:
    """Fails for as long as the file is missing."""
    return Path(path).read_text()


@queue.task(priority=Priority.CRITICAL)
@recorded
def long_job(seconds: float) -> tuple[int, int]:
    """Takes its time in the first attempt; the demo kills its process meanwhile."""
    attempt = current().attempt
    if attempt == 1:
        time.sleep(seconds)
    return attempt, os.getpid()
