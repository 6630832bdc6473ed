"""Secrets in URLs and how they are hidden."""

import pytest

from bench.credentials import hidden, hidden_in, resolved
from bench.errors import RequestError

SECRET = "hu5h-hu5h"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user:{SECRET}@host:5432/base",
        f"postgresql://user:'{SECRET}<\"@host/base",
        f"https://store/x?token=a,b){SECRET}&user=me",
        f"postgresql+psycopg://user:{SECRET}/with@signs:@host/base",
        f"storage 'postgresql://user:{SECRET}@host' cannot be opened",
        f"https://{SECRET}@host/x",
        f"https://:{SECRET}@host/x",
        f"API request to http://user:{SECRET}@host/api/2.0 failed, and to https://b:{SECRET}@other too",
        f"postgresql://host/base?user=me&password={SECRET}",
        f"postgresql://host/base?sslpassword={SECRET}&x=1",
        f"https://store/x.pt?X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}&X-Amz-Date=1",
        f"https://store/x?sv=1&sig={SECRET}",
        f"https://store/x?access_token={SECRET}#part",
        f"host=localhost password={SECRET} user=me",
        f"host=localhost password='{SECRET} and more' user=me",
        f"facebench sweep x --set token={SECRET}",
    ],
)
def test_a_secret_is_hidden_and_the_rest_stays(text):
    shown = hidden(text)
    assert SECRET not in shown and "more" not in shown and "***" in shown
    for word in ("host", "base", "user=me", "X-Amz-Date=1", "failed", "cannot be opened", "x.pt"):
        assert (word in shown) == (word in text), word
    assert hidden(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////folder/optuna.db",
        "s3://bucket/folder@v2/x",
        "http://127.0.0.1:5000/#/experiments/1",
        "mail me@example.org: tokens=3, key=4, monkey=5",
        "postgresql://host:5432/base?sslmode=require&application_name=x",
        "metric lfw/tar@far=1e-3",
    ],
)
def test_what_is_no_secret_stays(text):
    assert hidden(text) == text


def test_plain_data_are_hidden_all_the_way_down():
    secret = f"s3://a:{SECRET}@b/c"
    assert hidden_in({"file": {"list": [secret, 1, None], "pair": (secret,)}}) == {
        "file": {"list": ["s3://***@b/c", 1, None], "pair": ("s3://***@b/c",)}
    }


def test_a_file_may_name_variables_of_the_environment(monkeypatch):
    monkeypatch.setenv("WHERE", "postgresql://u:p@h/d")
    assert resolved("$WHERE") == resolved("${WHERE}") == "postgresql://u:p@h/d"
    assert resolved("postgresql://u:${WHERE}@h") == "postgresql://u:postgresql://u:p@h/d@h"
    for plain in ("sqlite:///x.db", "postgresql://u:a$WHERE@h", "postgresql://u:a$@h"):
        assert resolved(plain) == plain
    monkeypatch.delenv("WHERE")
    with pytest.raises(RequestError, match="names the environment variable WHERE, which is not set: export WHERE"):
        resolved("$WHERE")
