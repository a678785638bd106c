from __future__ import annotations

import hashlib
import re

import pytest

from edged.capture.sources.http.auth import Login

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
ASKED = (
    f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={{}}, nonce="{NONCE}", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


def hashed(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def example() -> Login:
    """That of RFC 7616, section 3.9.1."""
    return Login(
        "Mufasa",
        "Circle of Life",
        client_nonce=lambda: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_answers_as_the_standard_says(algorithm: str, response: str) -> None:
    login = example()
    assert login.understands([ASKED.format(algorithm)])
    answer = login.authorization("/dir/index.html")
    assert answer is not None
    assert f'response="{response}"' in answer
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in answer
    assert f"algorithm={algorithm}, qop=auth, nc=00000001" in answer


def test_the_strongest_that_is_known_is_answered() -> None:
    login = example()
    both = [ASKED.format("MD5"), ASKED.format("SHA-256"), 'Basic realm="x"']
    for challenges in (both, both[::-1]):
        assert login.understands(challenges)
        assert "algorithm=SHA-256" in (login.authorization("/") or "")
    assert login.understands([ASKED.format("SHA-512-256"), 'Basic realm="x"'])
    assert login.authorization("/") == "Basic TXVmYXNhOkNpcmNsZSBvZiBMaWZl"


def test_each_answer_to_one_challenge_is_counted() -> None:
    login = example()
    login.understands([ASKED.format("MD5")])
    counts = [re.findall(r"nc=(\w+)", login.authorization("/") or "") for _ in range(3)]
    assert counts == [["00000001"], ["00000002"], ["00000003"]]
    login.understands([ASKED.format("MD5")])
    assert "nc=00000001" in (login.authorization("/") or "")


def test_digest_of_old_cameras_without_qop() -> None:
    """RFC 7616, section 3.4.1, as RFC 2069 had it."""
    login = Login("viewer", 'geh"e:im')
    assert login.understands(['Digest realm="a \\"camera\\"", nonce="n0nce"'])
    answer = login.authorization("/live?a=1") or ""
    secret, asked = hashed('viewer:a "camera":geh"e:im'), hashed("GET:/live?a=1")
    response = hashed(f"{secret}:n0nce:{asked}")
    assert f'response="{response}"' in answer
    assert 'realm="a \\"camera\\""' in answer
    assert "qop" not in answer
    assert "nc=" not in answer


@pytest.mark.parametrize(
    "challenges", [[], ["Negotiate"], ["Digest"], ["Digest realm=x"], ["Digest , ,nonce"], [""]]
)
def test_what_is_not_understood(challenges: list[str]) -> None:
    login = example()
    assert not login.understands(challenges)
    assert login.authorization("/") is None


@pytest.mark.parametrize(
    "challenge",
    [
        'Digest realm="camera", nonce="n0nce", qop="auth", opaque=',
        'digest REALM="camera", Nonce="n0nce", QOP="auth", Stale=FALSE, Opaque=""',
        'Basic realm="camera", Digest realm="camera", nonce="n0nce", qop="auth", opaque=""',
        'Digest qop="auth", realm="camera", nonce="n0nce", opaque="", Basic realm="other"',
        'Digest realm = "camera" nonce = "n0nce" qop=auth opaque=""',
        "Digest realm=camera,nonce=n0nce,qop=auth,opaque=,algorithm=",
        'Digest realm="camera", qop=auth,auth-int, stale, nonce="n0nce", opaque=""',
    ],
)
def test_digest_as_cameras_write_it(challenge: str) -> None:
    login = example()
    assert login.understands([challenge])
    secret, asked = hashed("Mufasa:camera:Circle of Life"), hashed("GET:/")
    client = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    response = hashed(f"{secret}:n0nce:00000001:{client}:auth:{asked}")
    assert login.authorization("/") == (
        f'Digest username="Mufasa", realm="camera", nonce="n0nce", uri="/", response="{response}", '
        f'opaque="", algorithm=MD5, qop=auth, nc=00000001, cnonce="{client}"'
    )


@pytest.mark.parametrize("qop", ['qop="auth", ', ""])
def test_digest_with_a_session(qop: str) -> None:
    login = example()
    assert login.understands([f'Digest realm="camera", nonce="n0nce", {qop}algorithm="MD5-sess"'])
    client = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    secret = hashed(f"{hashed('Mufasa:camera:Circle of Life')}:n0nce:{client}")
    middle = f"n0nce:00000001:{client}:auth" if qop else "n0nce"
    answer = login.authorization("/") or ""
    asked = hashed("GET:/")
    response = hashed(f"{secret}:{middle}:{asked}")
    assert f'response="{response}"' in answer
    assert "algorithm=MD5-sess" in answer
    assert f'cnonce="{client}"' in answer
