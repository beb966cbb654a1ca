"""How samples get to the device: sliced from what lies there, or gathered in threads while the network is busy.

Both ways give the same batches in the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import torch
from torch import Tensor

from tuner.training.data import Feed, gather
from tuner.training.memory import sent

T = TypeVar("T")

MOST_THREADS = 8
CHUNK_BYTES = 2**22
"""Inputs that are shown to a network at once when it only predicts."""


def lies_on(feeds: Iterable[Feed], device: torch.device) -> bool:
    """Tell whether nothing has to be brought to the device."""
    return all(isinstance(feed, Tensor) and feed.device == device for feed in feeds)


def row_bytes(feed: Feed) -> int:
    """Return the size of one sample."""
    row = feed[:1] if isinstance(feed, Tensor) else feed.gather(torch.tensor([0]))
    return row.numel() * row.element_size()


def ahead(tasks: Iterable[Callable[[], T]]) -> Generator[T]:
    """Do the tasks in threads, some of them ahead of time; yield their results in order.

    An error of a task is raised where its result was due. Close this if it is not used up: that ends the threads.
    """
    threads = max(1, min(MOST_THREADS, torch.get_num_threads()))
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="feeding") as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(task))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Carrier:
    """Brings tensors from the host to a device. On a GPU the copies run beside the computation, from pinned memory."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def pinned(self, tensor: Tensor) -> Tensor:
        """Return the tensor in memory from which copies need not be waited for; called in the thread that made it."""
        return tensor if self._stream is None or tensor.is_cuda else tensor.pin_memory()

    def carry(self, tensor: Tensor) -> Tensor:
        """Return the tensor on the device; what is computed there next waits for it."""
        if self._stream is None:
            return tensor.to(self.device)
        with torch.cuda.stream(self._stream):
            carried = tensor.to(self.device, non_blocking=True)
        now = torch.cuda.current_stream(self.device)
        now.wait_stream(self._stream)
        carried.record_stream(now)  # its memory is given to nobody else before what uses it is done
        return carried


def gathered(feeds: Sequence[Feed], blocks: Iterable[Tensor], device: torch.device) -> Generator[tuple[Tensor, ...]]:
    """Yield, on the device, the samples of each block of numbers ``[n]``; close it if it is not used up."""
    if lies_on(feeds, device):
        for rows in blocks:
            on_device = sent(rows, device)
            yield tuple(gather(feed, on_device) for feed in feeds)
        return
    carrier = Carrier(device)

    def task(rows: Tensor) -> Callable[[], tuple[Tensor, list[Tensor | None]]]:
        return lambda: (
            rows,
            [None if lies_on([feed], device) else carrier.pinned(gather(feed, rows)) for feed in feeds],
        )

    with closing(ahead(task(rows) for rows in blocks)) as results:
        for rows, tensors in results:
            yield tuple(
                gather(feed, rows) if tensor is None else carrier.carry(tensor)
                for feed, tensor in zip(feeds, tensors, strict=True)
            )


def chunks(feeds: Sequence[Feed], samples: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    """Yield all samples in order, at most so many at once and of no more than CHUNK_BYTES, on the device."""
    size = max(1, min(samples, CHUNK_BYTES // max(1, sum(map(row_bytes, feeds)))))
    starts = range(0, len(feeds[0]), size)
    if lies_on(feeds, device):
        return zip(*(torch.split(feed, size) for feed in feeds if isinstance(feed, Tensor)), strict=True)
    return gathered(feeds, (torch.arange(start, min(start + size, len(feeds[0]))) for start in starts), device)
