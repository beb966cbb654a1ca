"""A study whose database goes away for a while."""

from __future__ import annotations

import time
from pathlib import Path

from tests.storage.databases import new_database, own_postgresql
from tests.tuner.test_running import check_complete, running, started
from tuner import study


def test_a_study_survives_its_postgresql_server_being_restarted_twice(tmp_path: Path) -> None:
    with own_postgresql() as server, new_database(server.url) as url, started(tmp_path, 4, 2, url) as process:
        for _ in range(2):
            running(url, 1)
            server.stop()
            time.sleep(1)
            server.start()
        assert process.wait(timeout=150) == 0
        check_complete(study.load("iris", storage=url), 4)
