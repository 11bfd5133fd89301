"""Work that goes on until it is cancelled has to look whether it was.

Up to Python 3.11 `asyncio.wait_for`, and asyncpg with it, keep a cancellation to themselves that arrives together with
an answer; a loop around it would go on for good.
"""

import asyncio


def stop_if_cancelled() -> None:
    """Raise the cancellation that was kept from this task. To be called once per round."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
