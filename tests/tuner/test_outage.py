"""A study whose database goes away for a while."""

from __future__ import annotations

import time
from pathlib import Path

from tests.storage.databases import own_postgresql
from tests.tuner.workers.test_running import check_complete, running, started
from tuner import study


def test_a_study_survives_its_postgresql_server_being_restarted_twice(tmp_path: Path) -> None:
    with own_postgresql() as server, started(tmp_path, 4, 2, server.url) as process:
        for _ in range(2):
            running(server.url, 1)
            server.stop()
            time.sleep(1)
            server.start()
        assert process.wait(timeout=150) == 0
        check_complete(study.load("iris", storage=server.url), 4)
