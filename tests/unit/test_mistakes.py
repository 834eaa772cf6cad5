"""The first day: what each command says where nothing is set up, in an empty folder."""

import pytest

from testudo import cli

NO_STACK = "no local stack runs in .testudo: start one with `testudo local up`"
NO_FILE = "templates/environments.toml: No such file or directory; name it with --environments"
NO_LOGIN = "`gcloud auth application-default login` gives this machine credentials"


@pytest.fixture(autouse=True)
def nothing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stack, no releases, no environments, no credentials."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("query outcomes", NO_STACK),
        ("query outcomes --project my-project", NO_LOGIN),
        ("query nonsense", "there is no question 'nonsense', but "),
        ("query outcomes --output nowhere", "--output: there is no folder nowhere"),
        ("query --sql SELECT", NO_STACK),
        ("view", NO_STACK),
        ("view --output nowhere", "--output: there is no folder nowhere"),
        ("publish --samples 3", NO_STACK),
        ("publish --images nowhere.jpg --project my-project", "no such file: nowhere.jpg"),
        ("publish --file nowhere.jsonl --project my-project", "nowhere.jsonl"),
        ("replay --dry_run", NO_STACK),
        ("replay --since yesterday", "'yesterday' is not a time such as"),
        ("export --day 2026-11-24 --to out", NO_STACK),
        ("export --day monday --to out", "monday"),
        ("run", NO_STACK),
        ("run --input_file nowhere --output out", "--releases: is missing"),
        ("train --manifest nowhere.jsonl", "--manifest: there is no file nowhere.jsonl"),
        ("train --encoder nothing", "--encoder: "),
        ("try --text a", "`testudo train` makes a release"),
        ("try", "give --image or --text"),
        ("release show", "current.json"),
        ("release show staging", NO_FILE),
        ("release promote a-0123 --manifest nowhere.jsonl", "nowhere.jsonl"),
        ("release build nowhere.toml", "nowhere.toml: No such file or directory"),
        ("release push staging", NO_FILE),
        ("local env", "no stack"),
        ("provision staging --dry_run", NO_FILE),
        ("doctor staging", NO_FILE),
        ("doctor local", NO_STACK),
        ("doctor staging --wait_s soon", "argument --wait_s: invalid"),
        ("doctor staging --timeout_s 0", "0 is no time: it must be more than 0"),
        ("template build staging --version 1 --image a", NO_FILE),
        ("launch staging --template 1.0", NO_FILE),
        ("status staging", NO_FILE),
        ("logs staging", NO_FILE),
        ("smoke staging", NO_FILE),
        ("update staging --template 1.0", NO_FILE),
        ("rollback staging", NO_FILE),
        ("deploy staging --template 1.0", NO_FILE),
        ("drain staging", NO_FILE),
        ("cancel staging --lose_in_flight", NO_FILE),
        ("costs staging", NO_FILE),
        ("access list staging", NO_FILE),
        ("loadtest report", "FOLDER: name one at least"),
        ("loadtest report nowhere", "nowhere: does not exist"),
        ("loadtest plan --customers 0", "--customers"),
        ("loadtest run --profile nothing", "nothing"),
    ],
)
def test_nothing_that_is_missing_is_a_traceback(
    capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    """But a line or two that name it, and what to do; nothing was done."""
    try:
        code = cli.main(words.split())
    except SystemExit as ended:
        code = int(ended.code or 0)
    told = " ".join(capsys.readouterr().err.split())
    assert code in {2, 3}, told
    assert said.lower() in told.lower()
    assert "Traceback" not in told
    assert len(told) < 700
