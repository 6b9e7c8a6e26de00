"""What happens behind the form: the spam check and the e-mail, as one task."""

from __future__ import annotations

import os
import re
import smtplib
from email.message import EmailMessage

from taskq import Backoff, TaskQueue, current

SMTP = "127.0.0.1:8025"  # default of the environment variable CONTACT_SMTP
SPAM = re.compile(r"\b(casino|free money|viagra)\b", re.IGNORECASE)
LINK = re.compile(r"https?://", re.IGNORECASE)
MOST_LINKS = 3

queue = TaskQueue("contact-form")


@queue.task(
    retries=8,
    backoff=Backoff(base=1, factor=2, max=60),
    retry_on=(OSError, smtplib.SMTPException),
    give_up_on=(smtplib.SMTPRecipientsRefused,),
    timeout="30s",
    result_ttl="1d",
)
def deliver(name: str, email: str, message: str) -> str:
    """Mail the message to the office, unless it is spam.

    Returns:
        `"sent"` or `"spam"`.
    """
    if is_spam(message):
        current().log.info("spam from %s", email)
        return "spam"
    host, _, port = os.environ.get("CONTACT_SMTP", SMTP).rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=10) as server:
        server.send_message(compose(name, email, message, current().id))
    return "sent"


def is_spam(message: str) -> bool:
    """Whether a message sells something."""
    return SPAM.search(message) is not None or len(LINK.findall(message)) > MOST_LINKS


def compose(name: str, email: str, message: str, id: str) -> EmailMessage:
    """The mail. Its Message-ID is the call's id, so a mail that is sent twice is seen to be one."""
    mail = EmailMessage()
    mail["From"] = "contact-form@example.org"
    mail["To"] = "office@example.org"
    mail["Reply-To"] = email
    mail["Subject"] = f"Message from {name}"
    mail["Message-ID"] = f"<{id}@contact-form.example.org>"
    mail.set_content(message)
    return mail
