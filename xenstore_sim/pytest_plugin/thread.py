"""A daemon in a thread of its own, for programs that do not run trio, or run another one."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from xenstore_sim.server import ServerHandle, Settings, serve

T = TypeVar("T")

DEADLINE_S: Final = 10.0
"""For the daemon to start, to answer a call, and to stop."""


class DaemonFailed(Exception):
    """The daemon of this thread ended by itself, or does not answer."""


class DaemonThread:
    """Runs from its making until `stop`. Its methods may be called in any other thread."""

    def __init__(self, rundir: Path, settings: Settings) -> None:
        """A daemon that serves `rundir`. Raises: DaemonFailed."""
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._ended = False
        self._waiting: set[Future[Any]] = set()
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        started: Future[ServerHandle] = Future()
        self._waiting.add(started)
        # A daemon thread: should it hang, the program can end all the same.
        self._thread = threading.Thread(
            target=self._run, args=(rundir, settings, started), name="xenstored", daemon=True
        )
        self._thread.start()
        self._handle = self._result(started, "start")

    def call(self, function: Callable[[ServerHandle], T]) -> T:
        """What the function returns, called in the daemon's thread. Raises: DaemonFailed."""
        answer: Future[T] = Future()
        with self._lock:
            if not self._ended:
                self._waiting.add(answer)
                assert self._token is not None, "it has started"
                self._token.run_sync_soon(self._answer, answer, function)
        if self._ended:
            # Why it ended is known when its thread has.
            self._thread.join(DEADLINE_S)
            raise self._reason() from self._failure
        return self._result(answer, "answer")

    def stop(self) -> None:
        """End the daemon. Raises: DaemonFailed when it had ended by itself, or does not end."""
        with self._lock:
            ended = self._ended
            if not ended:
                assert self._token is not None, "it has started"
                self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(DEADLINE_S)
        if self._thread.is_alive():
            raise DaemonFailed(f"xenstored did not stop within {DEADLINE_S:g} s")
        if self._failure is not None:
            raise self._reason() from self._failure

    def _result(self, answer: "Future[T]", what: str) -> T:
        try:
            return answer.result(DEADLINE_S)
        except TimeoutError as error:
            raise DaemonFailed(f"xenstored did not {what} within {DEADLINE_S:g} s") from error
        finally:
            with self._lock:
                self._waiting.discard(answer)

    def _answer(self, answer: "Future[T]", function: Callable[[ServerHandle], T]) -> None:
        if self._ended:
            # `_run` tells all that wait.
            return
        try:
            answer.set_result(function(self._handle))
        except BaseException as error:
            # It belongs to the thread that called.
            answer.set_exception(error)

    def _run(self, rundir: Path, settings: Settings, started: "Future[ServerHandle]") -> None:
        try:
            trio.run(self._serve, rundir, settings, started)
        except BaseException as error:
            # No one could catch it in this thread: it is raised where the daemon is used.
            self._failure = error
        with self._lock:
            waiting = tuple(self._waiting)
        for answer in waiting:
            # One of them may have its answer at this moment.
            with suppress(InvalidStateError):
                answer.set_exception(self._reason())

    async def _serve(
        self, rundir: Path, settings: Settings, started: "Future[ServerHandle]"
    ) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                handle: ServerHandle = await nursery.start(
                    partial(self._serve_until_the_end, rundir, settings)
                )
                self._token = trio.lowlevel.current_trio_token()
                started.set_result(handle)

    async def _serve_until_the_end(
        self, rundir: Path, settings: Settings, *, task_status: trio.TaskStatus[ServerHandle]
    ) -> None:
        try:
            await serve(rundir, settings=settings, task_status=task_status)
        finally:
            with self._lock:
                self._ended = True

    def _reason(self) -> DaemonFailed:
        if self._failure is None:
            return DaemonFailed("xenstored was stopped")
        cause = self._failure
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        return DaemonFailed(f"xenstored ended: {type(cause).__name__}: {cause}")
