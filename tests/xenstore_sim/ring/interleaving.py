"""Two programs of which one goes on at a time: wherever they touch what they share, dice decide."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random


class Lost(Exception):
    """Every program waits, and what it waits for can only come from another one."""


class Interleaving:
    """An order of the steps of some programs, each in a thread of its own."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)
        self._often = self._dice.choice((0.1, 0.3, 0.6))
        """how likely another one goes on at a step"""
        self._may: dict[str, threading.Semaphore] = {}
        self._ready: dict[str, Callable[[], bool]] = {}
        """of each program that has not ended: whether it could go on"""
        self._failures: list[BaseException] = []

    def run(self, **programs: Callable[[], None]) -> None:
        """Returns when all have ended. Raises: Lost, and whatever one of them raised."""
        threads = [
            threading.Thread(target=self._run, args=(name, program), name=name)
            for name, program in programs.items()
        ]
        for name in programs:
            self._may[name] = threading.Semaphore(0)
            self._ready[name] = _always
        for thread in threads:
            thread.start()
        self._next().release()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def step(self) -> None:
        """Perhaps another program goes on first. Nothing happens before and after `run`."""
        if threading.current_thread().name in self._ready and self._dice.random() < self._often:
            self._give_way()

    def wait(self, ready: Callable[[], bool]) -> None:
        """Goes on when it is ready. Raises: Lost."""
        name = threading.current_thread().name
        self._ready[name] = ready
        while not ready():
            self._give_way()
        self._ready[name] = _always

    def _run(self, name: str, program: Callable[[], None]) -> None:
        self._may[name].acquire()
        try:
            program()
        except BaseException as failure:
            self._failures.append(failure)
        finally:
            del self._ready[name]
            if self._ready:
                self._next().release()

    def _give_way(self) -> None:
        if not self._failures:
            name = threading.current_thread().name
            self._next().release()
            self._may[name].acquire()
        if self._failures:
            raise Lost

    def _next(self) -> threading.Semaphore:
        able = [name for name, ready in self._ready.items() if self._failures or ready()]
        if not able:
            self._failures.append(Lost())
            able = [*self._ready]
        return self._may[self._dice.choice(able)]


def _always() -> bool:
    return True
