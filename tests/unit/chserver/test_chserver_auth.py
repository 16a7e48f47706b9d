"""Password hashes and the accounts."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.chserver.auth import User, Users, hash_password, verify_password
from deploy.chserver.errors import ClickHouseError


def test_hashes_are_salted_and_verify() -> None:
    first, second = hash_password("pässwort"), hash_password("pässwort")
    assert first != second and "pässwort" not in first
    assert verify_password("pässwort", first) and verify_password("pässwort", second)
    assert not verify_password("passwort", first) and not verify_password("", first)


@settings(max_examples=200)
@given(st.text() | st.from_regex(r"scrypt(\$[0-9]{1,3}){3}\$[A-Za-z0-9=]*\$[A-Za-z0-9=]*"))
def test_malformed_hashes_match_nothing(text: str) -> None:
    assert not verify_password("x", text)


def test_only_the_first_request_pays() -> None:
    users = Users({"a": User("a", "reader", hash_password("right"))})
    assert users.authenticate("a", "right").role == "reader"
    before = time.perf_counter()
    for _ in range(1000):
        users.authenticate("a", "right")
    assert time.perf_counter() - before < 10
    for name, password in (("a", "wrong"), ("a", ""), ("nobody", "right")):
        with pytest.raises(ClickHouseError) as error:
            users.authenticate(name, password)
        assert error.value.code == 516 and error.value.http_status == 403
    assert "right" not in repr(users.authenticate("a", "right"))
