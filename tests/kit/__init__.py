"""The kit of all tests: one way to start a broker, a worker, a scene, and to wait for something.

| module | what it has |
|---|---|
| `waiting` | `wait_until` |
| `files` | `ROOT`, `short_directory`, `mounted_disk` |
| `marks` | `long_only`, `on_linux` |
| `processes` | `is_alive`, `end`, `children_of`, `usage_of`, `free_port` |
| `broker` | `BrokerProcess`: a broker to kill and start again; `stop_broker` for an embedded one |
| `worker` | `WorkerProcess`: one `taskq worker` |
| `scene` | `Scene`: a broker directory, an app on it and workers |
| `attack` | `BrokerUnderAttack`: raw and authenticated sockets to a broker |
| `tracing` | `TracedBroker`: a broker that dies or fails at a chosen system call |
| `proxy` | `Proxy`: a faulty network in front of a broker on TCP |
| `terminal` | `Terminal`: `taskq` commands as a user runs them |
| `clock` | `ManualClock` |
| `engine` | `EngineBench`: an engine, a manual clock and short commands |
| `snapshot` | `snapshot`: all durable state of an engine as plain values |
| `port` | `PortBench`: short commands by way of the port, for every backend |
| `inline_worker` | `run_ready`: run what is ready in the thread of the test |
| `messages` | `naming`, `missing`: what a message must name, whatever its sentence |
| `fakes` | an app, a connection, a broker and an alarm for the parts of a worker |
| `pages` | the documents: blocks, links, headings |
| `source` | the package as data: its modules, its imports, the cycles of them, sizes |
"""
