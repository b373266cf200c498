"""Real Ansible on this machine, with playbooks that keep a value in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig

READ = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.slurp: {src: "{{ place }}"}
      register: found
    # Changes nothing in check mode, which is the point of it.
    - ansible.builtin.copy: {content: "read", dest: "{{ place }}.touched"}
    - ansible.builtin.set_stats: {data: {grace_value: "{{ found.content | b64decode | trim }}"}, per_host: false}
"""
APPLY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.assert: {that: grace_wanted is number}
    - ansible.builtin.copy: {content: "{{ grace_wanted }}", dest: "{{ place }}"}
"""
HANG = (
    "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.command: sleep 60\n      check_mode: false\n"
)
SILENT = "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.debug: {msg: grace_value is 3}\n"


RESTART = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.assert: {that: grace_wanted is number}
    - ansible.builtin.shell: date +%s.%N > "{{ place }}"
"""
JOB = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.assert: {that: ["depth is number", "names is sequence", "names[0] == 'a b'"]}
    - ansible.builtin.shell: echo x >> "{{ place }}.ran"
    - ansible.builtin.set_stats: {data: {grace_report: "# trust\\nfine\\n"}, per_host: false}
"""


class AnsibleRig(Rig):
    kind = "ansible"
    verb = Verb.SCALE
    args: Mapping[str, Any] = {"by": 1}
    expected: Any = 3
    first = 2
    step_timeout = 60.0
    slow = True

    def start(self) -> None:
        self.plays = self.folder / "plays"
        self.plays.mkdir()
        texts = {
            "read": READ, "apply": APPLY, "hang": HANG, "silent": SILENT, "restart": RESTART, "job": JOB,
        }  # fmt: skip
        for name, text in texts.items():
            (self.plays / f"{name}.yml").write_text(text)
        self.value = self.folder / "value"
        self.value.write_text(str(self.first))
        python = "ansible_python_interpreter='{{ ansible_playbook_python }}'"
        self.hosts = self.folder / "hosts"
        self.hosts.write_text(f"here ansible_connection=local {python} place={self.value}\n")

    def play(self) -> dict[str, Any]:
        return {"read": "read.yml", "apply": "apply.yml"}

    def config(self) -> Mapping[str, Any]:
        plays = {name: self.play() for name in ("scale", "throttle", "pause")}
        return {"folder": str(self.plays), "hosts": str(self.hosts), "env": {"HOME": str(self.folder)}, **plays}

    def effect(self) -> Any:
        assert not (self.folder / "value.touched").exists(), "reading changed something"
        return int(self.value.read_text())

    def _with(self, **play: Any) -> Target:
        return self.target(**{name: {**self.play(), **play} for name in ("scale", "throttle", "pause")})

    def hanging(self) -> Target:
        return self._with(read="hang.yml").model_copy(update={"step_timeout": 6.0})

    def garbled(self) -> Target:
        return self._with(read="silent.yml")

    def forbid(self) -> None:
        self.plays.chmod(0o700)


class AnsibleThrottleRig(AnsibleRig):
    verb = Verb.THROTTLE
    args: Mapping[str, Any] = {"factor": 0.5}
    first = 60
    expected: Any = 30


class AnsiblePauseRig(AnsibleRig):
    verb = Verb.PAUSE
    args: Mapping[str, Any] = {}
    first = 0
    expected: Any = 1


class AnsibleRestartRig(AnsibleRig):
    verb = Verb.RESTART
    args: Mapping[str, Any] = {}
    first = 1000
    expected: Any = True

    def config(self) -> Mapping[str, Any]:
        return {**super().config(), "restart": {"read": "read.yml", "apply": "restart.yml"}}

    def effect(self) -> Any:
        """Has it begun since the plan was made?"""
        return float(self.value.read_text()) > self.started_at

    def _with(self, **play: Any) -> Target:
        return self.target(restart={"read": "read.yml", "apply": "restart.yml", **play})


class AnsibleRunRig(AnsibleRig):
    verb = Verb.RUN
    args: Mapping[str, Any] = {}
    expected: Any = {"ran": "x", "report": "# trust\nfine\n"}  # noqa: RUF012

    def config(self) -> Mapping[str, Any]:
        return {**super().config(), "run": {"apply": "job.yml", "variables": {"depth": 3, "names": ["a b", "c"]}}}

    def effect(self) -> Any:
        ran, report = self.folder / "value.ran", self.folder / "reports" / "run_1-0.md"
        return {
            "ran": ran.read_text().strip() if ran.exists() else None,
            "report": report.read_text() if report.exists() else None,
        }

    def hanging(self) -> Target:
        return self.target(run={"apply": "hang.yml"}).model_copy(update={"step_timeout": 6.0})

    def garbled(self) -> Target:
        return self.target(run={"apply": "silent.yml"})
