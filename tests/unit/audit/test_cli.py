"""`grace audit`: exit codes, what is said, and that a stranger's words cannot steer a terminal."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing

import pytest
from click.testing import CliRunner

from remediator.audit.checkpoint import Checkpoint, Signer, read_notes
from remediator.cli.audit import audit


def run(*arguments: object):
    result = CliRunner().invoke(audit, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def break_entry(ledger, seq: int) -> None:
    data = ledger.file.read_bytes()
    old = f'"n":{seq},'.encode()
    assert data.count(old) == 1
    ledger.file.write_bytes(data.replace(old, old.replace(b"n", b"m")))


class TestVerify:
    def test_whole(self, ledger):
        result = run("verify", "--data", ledger.folder)
        assert result.exit_code == 0
        assert "60 entries as they were written" in result.output
        assert "anchored up to entry 60" in result.output
        assert "the log is whole" in result.output

    def test_one_changed_byte_is_named(self, ledger):
        break_entry(ledger, 33)
        result = run("verify", "--data", ledger.folder)
        assert result.exit_code == 1
        assert result.output.startswith("BROKEN: entry 33: was changed")
        assert "the log is NOT whole" in result.output

    def test_as_json(self, ledger):
        said = json.loads(run("verify", "--data", ledger.folder, "--json").output)
        assert (said["whole"], said["entries"], said["anchored"], said["unanchored"]) == (True, 60, 60, None)
        break_entry(ledger, 33)
        result = run("verify", "--data", ledger.folder, "--json")
        assert result.exit_code == 1
        assert json.loads(result.output)["faults"][0]["entry"] == 33

    def test_a_tail_that_is_not_anchored_yet_is_said(self, ledger):
        lines = ledger.checkpoints.read_text().splitlines(keepends=True)
        ledger.checkpoints.write_text("".join(lines[:-6]))
        result = run("verify", "--data", ledger.folder)
        assert result.exit_code == 0
        assert "not anchored yet: entries 51 to 60" in result.output

    def test_with_the_anchors_kept_elsewhere_a_shortened_log_is_found(self, ledger, tmp_path):
        kept = shutil.copy(ledger.checkpoints, tmp_path / "kept.log")
        with closing(sqlite3.connect(ledger.file)) as connection:
            connection.execute("DROP TRIGGER audit_refuses_delete")
            connection.execute("DELETE FROM audit WHERE seq > 25")
            connection.commit()
        lines = ledger.checkpoints.read_text().splitlines(keepends=True)
        ledger.checkpoints.write_text("".join(lines[:18]))
        assert run("verify", "--data", ledger.folder).exit_code == 0
        result = run("verify", "--data", ledger.folder, "--checkpoints", kept)
        assert result.exit_code == 1
        assert "entries 26 to 60: missing" in result.output

    @pytest.mark.parametrize("how", [lambda path: path.unlink(), lambda path: path.write_text("")])
    def test_without_any_checkpoint_nothing_is_proven(self, ledger, how):
        how(ledger.checkpoints)
        result = run("verify", "--data", ledger.folder)
        assert result.exit_code == 1
        assert "no checkpoint vouches" in result.output

    def test_another_key_than_the_pinned_one(self, ledger, tmp_path):
        pinned = tmp_path / "pinned.pub"
        pinned.write_text(str(Signer.generate().public))
        result = run("verify", "--data", ledger.folder, "--key", pinned)
        assert result.exit_code == 1
        assert "not signed by the pinned key" in result.output

    def test_the_key_may_be_given_as_its_line(self, ledger):
        assert run("verify", "--data", ledger.folder, "--key", ledger.log.key).exit_code == 0

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--key", "absent.pub"], "absent.pub"),
            (["--checkpoints", "absent.log"], "absent.log"),
            (["--file", "absent.jsonl"], "absent.jsonl"),
            (["--config", "absent.yml"], "absent.yml"),
        ],
    )
    def test_what_cannot_be_read_is_one_line_and_exit_2(self, ledger, arguments, said):
        result = run("verify", "--data", ledger.folder, *arguments)
        assert result.exit_code == 2
        assert said in result.output
        assert result.output.count("\n") <= 2

    def test_without_a_ledger(self, tmp_path):
        assert run("verify", "--data", tmp_path).exit_code == 2

    def test_without_a_key(self, ledger):
        ledger.key.unlink()
        result = run("verify", "--data", ledger.folder)
        assert result.exit_code == 2
        assert "--key" in result.output

    def test_a_broken_key(self, ledger):
        ledger.key.write_text("rubbish\n")
        assert run("verify", "--data", ledger.folder).exit_code == 2

    def test_places_come_from_the_configuration(self, ledger, tmp_path):
        home = tmp_path / "elsewhere"
        home.mkdir()
        for name in ("audit.key", "audit.pub"):
            (ledger.folder / name).rename(home / name)
        ledger.checkpoints.rename(home / "anchors.log")
        config = tmp_path / "grace.yml"
        config.write_text(
            f"ledger: {{url: 'sqlite:///{ledger.file}'}}\n"
            f"audit: {{key_file: {home}/audit.key, checkpoints_file: {home}/anchors.log}}\n"
        )
        assert run("verify", "--config", config).exit_code == 0

    def test_another_database_says_what_to_do(self, tmp_path):
        config = tmp_path / "grace.yml"
        config.write_text("ledger: {url: 'mysql://grace:secret@db/grace'}\n")
        result = run("verify", "--config", config)
        assert result.exit_code == 2
        assert "use sqlite:///PATH or postgresql://" in result.output
        assert "secret" not in result.output


class TestExport:
    def test_it_verifies_elsewhere_with_the_pinned_key(self, ledger, tmp_path):
        away = tmp_path / "away"
        away.mkdir()
        export = away / "log.jsonl"
        assert run("export", export, "--data", ledger.folder).exit_code == 0
        assert stat.S_IMODE(export.stat().st_mode) == 0o600
        result = run("verify", "--file", export, "--key", ledger.key, "--data", away)
        assert result.exit_code == 0
        assert "anchored up to entry 60" in result.output
        assert sorted(path.name for path in away.iterdir()) == ["log.jsonl"]

    def test_it_is_what_the_library_writes(self, ledger, tmp_path):
        run("export", tmp_path / "log.jsonl", "--data", ledger.folder)
        assert (tmp_path / "log.jsonl").read_bytes() == ledger.export(tmp_path / "expected.jsonl").read_bytes()

    def test_every_line_is_json_that_common_tools_read(self, ledger, tmp_path):
        said = [json.loads(line) for line in ledger.export(tmp_path / "log.jsonl").read_bytes().splitlines()]
        entries = [line["entry"] for line in said if "entry" in line]
        assert [entry["seq"] for entry in entries] == list(range(1, 61))
        assert said[-1] == {"end": 60}

    def test_without_a_pinned_key_it_proves_less_and_says_so(self, ledger, tmp_path):
        result = run("verify", "--file", ledger.export(tmp_path / "log.jsonl"), "--data", tmp_path / "nowhere")
        assert result.exit_code == 0
        assert "no key is pinned" in result.output

    def test_a_changed_one_is_found_and_named(self, ledger, tmp_path):
        export = ledger.export(tmp_path / "log.jsonl")
        export.write_bytes(export.read_bytes().replace(b'"n":41,', b'"n":14,'))
        result = run("verify", "--file", export, "--data", ledger.folder)
        assert result.exit_code == 1
        assert "entry 41" in result.output

    @pytest.mark.parametrize(
        "content", [b"", b"{}\n", b"\x00\xff\n", b'{"grace_audit_export":2,"keys":[]}\n', b"[" * 99_999]
    )
    def test_what_is_no_export(self, tmp_path, content):
        (tmp_path / "x").write_bytes(content)
        assert run("verify", "--file", tmp_path / "x", "--data", tmp_path).exit_code == 2

    def test_a_broken_log_is_exported_as_it_stands(self, ledger, tmp_path):
        break_entry(ledger, 33)
        assert run("export", tmp_path / "x", "--data", ledger.folder).exit_code == 0
        result = run("verify", "--file", tmp_path / "x", "--data", ledger.folder)
        assert result.exit_code == 1
        assert "entry 33" in result.output

    def test_to_standard_output(self, ledger, tmp_path):
        result = run("export", "-", "--data", ledger.folder)
        assert result.stdout_bytes == ledger.export(tmp_path / "x").read_bytes()

    def test_where_it_cannot_be_written(self, ledger, tmp_path):
        assert run("export", tmp_path / "absent" / "x", "--data", ledger.folder).exit_code == 2


class TestTail:
    def test_the_last_entries_oldest_first(self, ledger):
        lines = run("tail", "-n", "3", "--data", ledger.folder).output.splitlines()
        assert [line.split()[0] for line in lines] == ["58", "59", "60"]
        assert "2023-11-14" in lines[0]

    def test_as_json(self, ledger):
        said = json.loads(run("tail", "-n", "1", "--json", "--data", ledger.folder).output)
        assert said["seq"] == 60
        assert said["hash"] == ledger.log.rows[-1][8]

    def test_a_strangers_words_do_not_steer_the_terminal(self, ledger, tmp_path):
        with closing(sqlite3.connect(ledger.file)) as connection:
            connection.execute(
                "INSERT INTO audit SELECT 61, at, ?, incident_id, run_id, ?, ?, prev, hash FROM audit WHERE seq = 60",
                ("\x1b[2J", "\u202egrace", '{"body":{"x":"\x9b31m"}}'),
            )
            connection.commit()
        output = run("tail", "-n", "1", "--data", ledger.folder).output
        assert all(mark.isprintable() or mark == "\n" for mark in output)
        assert "\\u001b[2J" in output

    def test_a_damaged_entry_is_shown_as_far_as_it_can_be(self, ledger):
        with closing(sqlite3.connect(ledger.file)) as connection:
            connection.execute("INSERT INTO audit VALUES (61, 1e300, x'00', NULL, NULL, 'a', '[', 'p', 'h')")
            connection.commit()
        assert "(unreadable)" in run("tail", "-n", "1", "--data", ledger.folder).output
        assert run("tail", "-n", "1", "--json", "--data", ledger.folder).exit_code == 0

    def test_following_shows_what_comes(self, ledger, monkeypatch):
        looks = iter(range(3))

        def write_or_stop(seconds: float) -> None:
            if next(looks) == 2:
                raise KeyboardInterrupt
            with closing(sqlite3.connect(ledger.file)) as connection:
                connection.execute(
                    "INSERT INTO audit SELECT MAX(seq) + 1, at, 'news', NULL, NULL, actor, entry, prev, hash FROM audit"
                )
                connection.commit()

        monkeypatch.setattr("remediator.cli.audit.time.sleep", write_or_stop)
        result = run("tail", "-n", "0", "-f", "--data", ledger.folder)
        assert [line.split()[0] for line in result.output.splitlines()] == ["61", "62"]
        assert result.exit_code == 0


def test_the_checkpoint_file_is_read_by_lines(ledger):
    notes = list(read_notes(ledger.checkpoints))
    assert [line for line, _ in notes] == [1, 7, 13, 19, 25, 31, 37]
    assert Checkpoint(60, bytes.fromhex(ledger.log.rows[-1][8])).body() in notes[-1][1]
