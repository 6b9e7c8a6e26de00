"""A contact form whose POST answers at once: spam check and e-mail run behind a queue.

Run it with one command and open http://127.0.0.1:8000:

    python -m examples.contact_form

It starts a small SMTP server that keeps every mail in `contact.mbox`, one worker process, and the
web server. Or the parts by themselves, each in a terminal:

    python -m examples.contact_form --workers 0
    taskq worker examples.contact_form.tasks:queue -c 2
    taskq status

To send through a real mail server, name it, for the web server and for the worker:

    CONTACT_SMTP=mail.example.org:25 python -m examples.contact_form --no-sink

Things to try: send a message that speaks of a casino; stop the mail server, send one, and see on
its page how the task is tried again until the server is back; kill the worker with SIGKILL.

    tasks.py      the queue and its one task
    web.py        the pages
    sink.py       the SMTP server
    __main__.py   puts them together
"""
