"""`python -m examples.contact_form`: mail sink, worker and web server, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

from examples.contact_form.sink import MailSink
from examples.contact_form.tasks import queue
from examples.contact_form.web import make_server


def main() -> None:
    """Put the parts together."""
    parser = argparse.ArgumentParser(description="A contact form with a queue behind it.")
    add = parser.add_argument
    add("--port", type=int, default=8000, help="of the web server; 0 takes a free one")
    add("--workers", type=int, default=1, help="0: start taskq worker yourself")
    add("--mbox", type=Path, default=Path("contact.mbox"), help="where the mails are kept")
    add("--smtp-port", type=int, default=8025, help="of the mail sink; 0 takes a free one")
    add("--no-sink", action="store_true", help="send to CONTACT_SMTP instead")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack:
        if not options.no_sink:
            sink = stack.enter_context(MailSink(("127.0.0.1", options.smtp_port), options.mbox))
            threading.Thread(target=sink.serve_forever, daemon=True).start()
            stack.callback(sink.shutdown)
            os.environ["CONTACT_SMTP"] = f"127.0.0.1:{sink.server_address[1]}"
        if options.workers:
            stack.enter_context(queue.workers(options.workers))
        server = stack.enter_context(make_server(("127.0.0.1", options.port)))
        print(f"contact form at http://127.0.0.1:{server.server_address[1]}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopping")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
