from __future__ import annotations

import pytest
from sqlalchemy import make_url

from storage.urls import mask


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:se/cret@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://u:se cret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u@corp:secret@h/db", "postgresql://u@corp:***@h/db"),
        ("mysql://u::/se:c/ret@h/db", "mysql://u:***@h/db"),
        ("mysql://:secret@h/db", "mysql://:***@h/db"),
        ("postgresql://h/db?password=se cret&x=1", "postgresql://h/db?password=***&x=1"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
        ("sqlite:////a/b:c@d.db", "sqlite:////a/b:c@d.db"),
    ],
)
def test_a_password_is_never_shown_whatever_it_holds(url: str, shown: str) -> None:
    assert mask(url) == shown
    password = make_url(url).password
    assert not password or password not in mask(f"connecting to {url} failed, and so did mysql://u:other@h/d")
