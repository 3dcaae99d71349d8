"""A short slice of what `make soak` does for minutes."""

from tests.soak.restarts import campaign


async def test_nothing_is_lost_when_a_daemon_is_replaced_in_vain_and_started_again() -> None:
    told: list[str] = []
    await campaign(seed=5, seconds=0, updates=2, tell=told.append)
    assert "stopped and started again 2" in told[-1]
