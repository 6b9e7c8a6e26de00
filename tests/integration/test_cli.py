"""The commands, as processes, against real brokers and workers."""

from __future__ import annotations

import json
import signal
import socket

from taskq.cli.support.processes import is_alive
from tests.kit.messages import missing
from tests.kit.processes import send
from tests.kit.terminal import Terminal
from tests.kit.waiting import wait_until

APP = "tests.integration.cli_app:queue"
ADD, FAIL, READ = (f"tests.integration.cli_app:{name}" for name in ("add", "fail", "read"))


def burst(terminal: Terminal) -> None:
    terminal.taskq("worker", APP, "--burst", "--log-level", "error")


def test_call_worker_result(terminal: Terminal) -> None:
    id = terminal.taskq("call", ADD, "20", "b=22").stdout.strip()
    told = terminal.taskq("result", id, code=1)
    assert "has not finished" in told.stderr
    (job,) = terminal.data("job", "show", id)
    assert (job["state"], job["arguments"], job["carries_code"]) == ("ready", "20, b=22", False)
    shown = terminal.taskq("job", "show", id).stdout.splitlines()
    assert ["arguments", "20,", "b=22"] in [line.split() for line in shown]
    burst(terminal)
    assert terminal.taskq("result", id).stdout == "42\n"
    assert terminal.data("result", id) == {"id": id, "state": "succeeded", "result": 42}
    (job,) = terminal.data("job", "show", id)
    assert (job["state"], job["attempts"], job["queue"]) == ("succeeded", 1, "shop")


def test_call_and_wait_with_a_worker_in_another_terminal(terminal: Terminal) -> None:
    worker = terminal.start("-m", "taskq", "worker", APP, "-c", "2", "--name", "w")
    assert terminal.taskq("call", ADD, "-5", "--wait").stdout == "-4\n"
    assert terminal.taskq("call", "add", "1", "--app", APP, "--wait").stdout == "2\n"
    failed = terminal.taskq("call", FAIL, '"on purpose"', "--wait", code=1)
    assert "raise ValueError(text)" in failed.stderr
    assert failed.stderr.splitlines()[-1].endswith("ValueError: on purpose")
    (broker,) = terminal.data("status")
    (queue,) = broker["queues"]
    assert (queue["queue"], queue["succeeded"], queue["dead"]) == ("shop", 2, 1)
    assert queue["consumers"] == 2
    (told,) = broker["workers"]
    assert told["name"].startswith("w")
    assert told["info"]["pid"] == worker.pid
    assert terminal.end(worker) == 0


def test_status_says_what_a_person_needs(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    text = terminal.taskq("status").stdout
    assert text.startswith("shop: broker pid ")
    assert not missing(text, "nobody", "group default")
    assert "no workers" in text
    terminal.taskq("queue", "pause", "shop")
    assert "paused" in terminal.taskq("status").stdout


def test_status_does_not_start_a_broker(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    pid = terminal.broker_pid("shop")
    send(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid))
    told = terminal.taskq("status", code=3)
    assert "no broker" in told.stdout
    assert not missing(terminal.taskq("health", code=5).stderr, "unhealthy", "no broker")
    terminal.taskq("doctor", code=5)
    assert terminal.broker_pid("shop") == 0


def test_several_brokers(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    terminal.taskq("call", ADD, "1", "--broker", "other")
    told = terminal.taskq("queue", "ls", code=2)
    assert not missing(told.stderr, "--broker NAME", "other", "shop")
    assert [each["name"] for each in terminal.data("status")] == ["other", "shop"]
    terminal.taskq("--broker", "other", "queue", "ls")
    terminal.taskq("queue", "ls", TASKQ_BROKER=f"embedded:{terminal.state / 'other'}")
    terminal.taskq("queue", "ls", TASKQ_APP=APP)


def test_the_environment_names_a_broker_for_every_command(terminal: Terminal) -> None:
    id = terminal.taskq("call", ADD, "1", TASKQ_BROKER="ops").stdout.strip()
    terminal.taskq("worker", APP, "--burst", TASKQ_BROKER="ops")
    assert terminal.taskq("result", id, TASKQ_BROKER="ops").stdout == "2\n"
    assert [path.name for path in terminal.state.iterdir()] == ["ops"]


def test_queue_commands(terminal: Terminal) -> None:
    ids = [terminal.taskq("call", ADD, str(n)).stdout.strip() for n in range(2)]
    late = terminal.taskq("call", ADD, "9", "--delay", "1h").stdout.strip()
    assert [each["id"] for each in terminal.data("queue", "peek", "shop")] == ids
    assert late in terminal.taskq("queue", "peek", "shop", "--state", "scheduled").stdout
    terminal.taskq("queue", "pause", "shop")
    assert terminal.data("queue", "ls")[0]["paused"] is True
    terminal.taskq("queue", "resume", "shop")
    assert terminal.data("queue", "ls")[0]["paused"] is False
    terminal.taskq("job", "cancel", late)
    asked = terminal.taskq("queue", "purge", "shop", code=1)  # nobody there to say yes
    assert not missing(asked.stderr, "nothing was changed", "--yes")
    assert terminal.data("queue", "purge", "shop", "--yes")["purged"] == 2
    told = terminal.taskq("queue", "peek", "none", code=1)
    assert not missing(told.stderr, "queue 'none'", "shop")


def test_a_group_is_dropped(terminal: Terminal) -> None:
    terminal.taskq("worker", APP, "-g", "typo gone", "--burst")
    terminal.taskq("call", ADD, "1")
    burst(terminal)
    told = terminal.taskq("doctor", code=5)
    command = "taskq queue drop shop -g 'typo gone'"
    assert not missing(told.stdout, "nobody", "1 message")
    assert command in told.stdout
    drop = ("queue", "drop", "shop", "-g", "typo gone")
    told = terminal.taskq("queue", "drop", "shop", code=1)
    assert not missing(told.stderr, "'shop'", "not empty", "taskq queue purge")
    for yes in ([], ["-y"]):  # it is refused before anybody is asked
        told = terminal.taskq("queue", "drop", "shop", "-g", "default", *yes, code=1)
        assert not missing(told.stderr, "'default'", "results")
    told = terminal.taskq("queue", "purge", "nosuch", code=1)
    assert not missing(told.stderr, "queue 'nosuch'")
    told = terminal.taskq("queue", "limit", "nosuch", "--max-messages", "5")
    assert not missing(told.stdout, "nosuch", "5 messages", "no queue")
    told = terminal.taskq("queue", "limit", "nosuch", "--max-messages", "6")
    assert not missing(told.stdout, "nosuch", "6 messages")
    assert "no queue" not in told.stdout
    assert "nothing was changed" in terminal.taskq(*drop, code=1).stderr
    assert terminal.data(*drop, "-y") == {"queue": "shop", "group": "typo gone", "dropped": 1}
    assert {each["group"] for each in terminal.data("queue", "ls")} == {"default"}
    told = terminal.taskq(*drop, "-y", code=1)
    assert not missing(told.stderr, "consumer group 'typo gone'", "default")


def test_a_limit_without_options_is_shown(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    assert terminal.taskq("queue", "limit", "shop").stdout == "shop has no limit\n"
    terminal.taskq("queue", "limit", "shop", "--max-messages", "5", "--max-bytes", "1KiB")
    told = terminal.taskq("queue", "limit", "shop").stdout
    assert not missing(told, "shop takes at most 5 messages", "1.0 KiB")
    assert terminal.data("queue", "limit", "shop") == {
        "queue": "shop",
        "max_messages": 5,
        "max_bytes": 1024,
    }
    told = terminal.taskq("queue", "limit", "nosuch", code=1).stderr
    assert not missing(told, "there is no queue 'nosuch'", "shop")


def test_a_broker_that_has_never_run_is_not_stopped(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    told = terminal.taskq("broker", "stop", "--broker", "nosuch", code=3).stderr
    assert not missing(told, f"no broker has ever run in {terminal.state / 'nosuch'}", "shop")
    assert not (terminal.state / "nosuch").exists()


def test_a_queue_that_a_mistyped_limit_has_made_is_dropped(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    told = terminal.taskq("queue", "limit", "sh op", "--max-messages", "5")
    command = "taskq queue drop 'sh op'"
    assert command in told.stdout
    drop = ("queue", "drop", "sh op")
    asked = terminal.taskq(*drop, code=1)  # nobody there to say yes
    assert not missing(asked.stderr, "nothing was changed", "--yes")
    assert terminal.data(*drop, "--yes") == {"queue": "sh op", "removed": True}
    terminal.taskq("broker", "stop")
    assert {each["queue"] for each in terminal.data("queue", "ls")} == {"shop"}
    told = terminal.taskq(*drop, code=1)
    assert not missing(told.stderr, "queue 'sh op'", "shop")
    told = terminal.taskq("queue", "limit", "sh op", "--max-bytes", "5")
    assert "messages" not in told.stdout.partition(";")[0]  # the limit of the first one is gone


def test_dead_letters_are_shown_and_replayed(terminal: Terminal) -> None:
    path = terminal.directory / "text"
    id = terminal.taskq("call", READ, f'"{path}"').stdout.strip()
    burst(terminal)
    listed = terminal.data("dlq", "ls")
    assert [each["id"] for each in listed["entries"]] == [id]
    assert "FileNotFoundError" in listed["entries"][0]["reason"]
    assert terminal.data("dlq", "ls", "--error", "KeyError") == {
        "total": None,
        "entries": [],
        "more": False,
    }
    assert "none of 1 fits" in terminal.taskq("dlq", "ls", "--error", "KeyError").stdout
    shown = terminal.taskq("dlq", "show", id).stdout
    assert "return Path(path).read_text()" in shown
    told = terminal.taskq("doctor", code=5)
    assert "1 dead letter" in told.stdout
    path.write_text("here")
    assert terminal.data("dlq", "replay", "--error", "KeyError") == {"replayed": 0}
    assert terminal.data("dlq", "replay", "--task", "read", "--error", "FileNot") == {"replayed": 1}
    burst(terminal)
    assert terminal.taskq("result", id).stdout == "here\n"
    terminal.taskq("dlq", "show", id, code=1)
    terminal.taskq("dlq", "replay", "nothing", code=1)


def test_purged_dead_letters_are_gone(terminal: Terminal) -> None:
    terminal.taskq("call", FAIL, '"x"')
    burst(terminal)
    for command in (("ls",), ("replay", "--all"), ("purge", "--all", "-y")):
        told = terminal.taskq("dlq", *command, "--queue", "shp", code=1)
        assert not missing(told.stderr, "queue 'shp'", "shop")
        told = terminal.taskq("dlq", *command, "-g", "typo", code=1)
        assert not missing(told.stderr, "no queue", "consumer group 'typo'", "default")
        told = terminal.taskq("dlq", *command, "--queue", "shop", "-g", "typo", code=1)
        assert not missing(told.stderr, "the queue 'shop' has no consumer group 'typo'", "default")
    told = terminal.taskq("dlq", "purge", "--all", "-g", "typo", code=1)
    assert "consumer group 'typo'" in told.stderr, "it is refused before anybody is asked"
    assert terminal.data("dlq", "purge", "--all", "-y") == {"purged": 1}
    assert terminal.data("dlq", "ls") == {"total": 0, "entries": [], "more": False}


def test_doctor_and_health_of_a_system_in_order(terminal: Terminal) -> None:
    worker = terminal.start("-m", "taskq", "worker", APP)
    assert terminal.taskq("call", ADD, "1", "--wait").stdout == "2\n"
    report = terminal.data("doctor")
    assert report["healthy"] is True
    assert {each["check"] for each in report["brokers"][0]["findings"]} == {
        "permissions",
        "disk",
        "broker",
        "queue shop",
        "workers",
    }
    assert terminal.data("health", "--queue", "shop")["healthy"] is True
    assert terminal.end(worker) == 0
    assert terminal.data("health", "--queue", "shop", code=5)["healthy"] is False
    terminal.taskq("health")


def test_an_app_that_cannot_be_imported(terminal: Terminal) -> None:
    (terminal.directory / "broken_app.py").write_text("import no_such_library\n")
    terminal.cwd = terminal.directory
    told = terminal.taskq("worker", "broken_app:queue", code=2)
    assert "import no_such_library" in told.stderr
    assert "ModuleNotFoundError" in told.stderr
    assert "loader.py" not in told.stderr
    assert not missing(told.stderr.splitlines()[-1], "Error:", "'broken_app'")
    told = terminal.taskq("call", "broken_app:f", code=2)
    assert "import no_such_library" in told.stderr
    assert not missing(told.stderr.splitlines()[-1], "Error:", "'broken_app'")
    terminal.taskq("worker", "nowhere:queue", code=2)
    told = terminal.taskq("worker", "nowhere:", code=2)
    assert not missing(told.stderr, "nowhere:queue")


def test_check_lists_the_tasks(terminal: Terminal) -> None:
    done = terminal.taskq("worker", APP, "--check")
    assert "  tests.integration.cli_app.add\n" in done.stdout
    found = terminal.data("worker", APP, "--check")
    assert found["queues"] == ["shop"]
    assert "tests.integration.cli_app.add" in found["tasks"]


def test_a_call_that_failed_is_a_document_too(terminal: Terminal) -> None:
    id = terminal.taskq("call", FAIL, '"no"').stdout.strip()
    assert terminal.data("result", id, code=1) == {"id": id, "state": "ready"}
    burst(terminal)
    found = terminal.data("result", id, code=1)
    assert (found["id"], found["state"]) == (id, "dead")
    assert found["error"]["type"] in found["error"]["traceback"]


def test_what_a_task_raises_does_not_command_the_terminal(terminal: Terminal) -> None:
    id = terminal.taskq("call", FAIL, r'"no\u001b[2J"').stdout.strip()
    log = terminal.taskq("worker", APP, "--burst")
    told = [terminal.taskq(*command, id) for command in (("dlq", "show"), ("job", "show"))]
    told.append(terminal.taskq("result", id, code=1))
    for shown in (log.stderr, *(done.stdout + done.stderr for done in told)):
        assert "raise ValueError(text)\n" in shown
        assert r"ValueError: no\x1b[2J" in shown
        assert "\x1b" not in shown
    (letter,) = terminal.data("dlq", "show", id)
    assert letter["errors"][0]["text"] == "no\x1b[2J"
    assert letter["arguments"] == r"'no\x1b[2J'"


def test_a_broker_in_the_foreground(terminal: Terminal) -> None:
    directory = terminal.state / "mine"
    broker = terminal.start("-m", "taskq", "broker", "--dir", str(directory))
    assert broker.stdout is not None
    assert "broker ready at unix:" in broker.stdout.readline()
    second = terminal.taskq("broker", "--dir", str(directory), code=4)
    assert f"another broker (pid {broker.pid}) already serves" in second.stderr
    assert terminal.data("health", "--broker", f"unix:{directory / 'sock'}")["pid"] == broker.pid
    assert terminal.end(broker) == 0


def test_a_broker_is_stopped_and_says_that_it_is_ready_in_one_document(terminal: Terminal) -> None:
    directory = terminal.state / 'odd "name"'
    broker = terminal.start("-m", "taskq", "broker", "--json", "--dir", str(directory))
    assert broker.stdout is not None
    url = json.loads(broker.stdout.readline())["ready"]
    stop = ("broker", "stop", "--broker", url)
    assert terminal.data(*stop) == {"directory": str(directory), "stopped": broker.pid}
    assert broker.wait(10) == 0
    assert terminal.data(*stop) == {"directory": str(directory), "stopped": None}
    terminal.taskq("call", ADD, "1")
    pid = terminal.broker_pid("shop")
    assert f"(pid {pid}) has ended" in terminal.taskq("broker", "stop", "--broker", "shop").stdout
    assert not is_alive(pid)
    assert "no broker" in terminal.taskq("broker", "stop", "--broker", "shop").stdout
    assert not missing(
        terminal.taskq(*stop[:-1], "tcp://h:1", code=2).stderr, "tcp://h:1", "own machine"
    )


def test_the_options_of_a_call(terminal: Terminal) -> None:
    id = terminal.taskq("call", ADD, "1", "--id", "one", "--queue", "mails").stdout.strip()
    assert id == "one"
    terminal.taskq("call", ADD, "2", "--id", "one", "--queue", "mails")
    assert [each["id"] for each in terminal.data("queue", "peek", "mails")] == ["one"]
    options = ("--priority", "high", "--eta", "2099-01-31T18:00+00:00")
    late = terminal.taskq("call", ADD, "1", *options).stdout.strip()
    (job,) = terminal.data("job", "show", late)
    assert (job["state"], job["priority"]) == ("scheduled", 1)
    # the broker keeps it by a clock of its own, which is some microseconds off the wall clock
    assert abs(job["due_at"] - 4073565600.0) < 1


def test_tasks_in_other_modules_are_included(terminal: Terminal) -> None:
    task = "from tests.integration.cli_app import queue\n@queue.task\ndef further(): return 7\n"
    (terminal.directory / "further_tasks.py").write_text(task)
    path = f"{terminal.directory}:{terminal.environment['PYTHONPATH']}"
    id = terminal.taskq("call", "further_tasks:further", PYTHONPATH=path).stdout.strip()
    worker = terminal.start("-m", "taskq", "worker", APP, PYTHONPATH=path)
    wait_until(lambda: terminal.data("status")[0]["broker"]["parked"] == 1)
    assert "taskq worker APP --include further_tasks" in terminal.taskq("status").stdout
    assert terminal.end(worker) == 0
    options = ("--include", "further_tasks", "--burst")
    terminal.taskq("worker", APP, *options, PYTHONPATH=path)
    assert terminal.taskq("result", id, PYTHONPATH=path).stdout == "7\n"
    told = terminal.taskq("worker", APP, "--include", "nowhere.tasks", code=2).stderr
    assert "module 'nowhere" in told
    terminal.taskq("worker", "--include", "further_tasks", "-Q", "shop", code=2)


def test_tasks_of_a_module_with_another_queue_object_are_run_as_advised(terminal: Terminal) -> None:
    task = "from taskq import TaskQueue\nq = TaskQueue('shop')\n@q.task\ndef apart(): return 7\n"
    (terminal.directory / "apart_tasks.py").write_text(task)
    path = f"{terminal.directory}:{terminal.environment['PYTHONPATH']}"
    id = terminal.taskq("call", "apart_tasks:apart", PYTHONPATH=path).stdout.strip()
    command = ("worker", APP, "--include", "apart_tasks")
    worker = terminal.start("-m", "taskq", *command, PYTHONPATH=path)
    wait_until(lambda: terminal.data("status")[0]["broker"]["parked"] == 1)
    told = terminal.taskq("status").stdout
    assert "if that module makes a TaskQueue of its own: taskq worker apart_tasks" in told
    assert terminal.end(worker) == 0
    terminal.taskq("worker", "apart_tasks", "--burst", PYTHONPATH=path)
    assert terminal.taskq("result", id, PYTHONPATH=path).stdout == "7\n"


def test_advice_names_the_broker_where_there_are_several(terminal: Terminal) -> None:
    id = terminal.taskq("call", ADD, "1").stdout.strip()
    again = f"taskq result {id} --wait"
    assert terminal.taskq("result", id, code=1).stderr.endswith(f"with: {again}\n")
    terminal.taskq("call", ADD, "1", TASKQ_BROKER="ops")
    told = terminal.taskq("result", id, "--broker", "shop", code=1)
    assert told.stderr.endswith(f"{again} --broker shop\n")
    told = terminal.taskq("call", ADD, "1", "--timeout", "0.01", code=1)
    assert told.stderr.endswith("--wait --broker shop\n")


def test_a_result_whose_classes_are_elsewhere(terminal: Terminal) -> None:
    (terminal.directory / "point_app.py").write_text(
        "from taskq import TaskQueue\nqueue = TaskQueue('shop')\nclass Point: pass\n"
        "@queue.task\ndef point(): return Point()\n"
    )
    root, terminal.cwd = terminal.cwd, terminal.directory
    id = terminal.taskq("call", "point_app:point").stdout.strip()
    terminal.taskq("worker", "point_app:queue", "--burst")
    terminal.cwd = root
    told = terminal.taskq("result", id, code=1).stderr
    assert not missing(told, "ModuleNotFoundError", "'point_app'", "PYTHONPATH")
    assert "failed" not in told


def test_a_broker_on_tcp(terminal: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"tcp://127.0.0.1:{port}"
    directory = terminal.state / "tcp"
    broker = terminal.start("-m", "taskq", "broker", "--dir", str(directory), "--listen", url)
    assert broker.stdout is not None
    assert url in broker.stdout.readline()
    told = terminal.taskq("health", "--broker", url, code=5)
    assert "TASKQ_AUTHKEY_FILE" in told.stderr
    key = str(directory / "key")
    terminal.taskq("health", "--broker", url, TASKQ_AUTHKEY_FILE=key)
    id = terminal.taskq("call", ADD, "1", "--broker", url, TASKQ_AUTHKEY_FILE=key).stdout.strip()
    terminal.taskq("worker", APP, "--broker", url, "--burst", TASKQ_AUTHKEY_FILE=key)
    done = terminal.taskq("result", id, "--broker", url, TASKQ_AUTHKEY_FILE=key)
    assert done.stdout == "2\n"


def test_a_broker_that_is_not_there(terminal: Terminal) -> None:
    told = terminal.taskq("--broker", f"unix:{terminal.state / 'none'}", "queue", "ls", code=3)
    assert told.stderr.startswith("Error: ")
    assert len(told.stderr.splitlines()) == 1


def test_an_unknown_id(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    for command in (
        ("result", "nothing"),
        ("job", "show", "nothing"),
        ("job", "cancel", "nothing"),
    ):
        told = terminal.taskq(*command, code=1)
        assert "nothing" in told.stderr
        assert len(told.stderr.splitlines()) == 1
