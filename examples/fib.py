"""The one-minute program: a big Fibonacci number, computed by a worker.

python -m examples.fib              in one terminal
taskq worker examples.fib:queue     in another one, before or after
"""

from taskq import TaskQueue

queue = TaskQueue("my-queue")


@queue.task
def fib(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


fib100k = fib(100_000)  # enqueued, durable on disk; a ResultHandle[int] comes back at once
print(str(fib100k())[-6:])  # blocks until a worker has the answer: 746875
