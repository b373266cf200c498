"""Whatever a team's own Ansible playbooks manage."""

from remediator.drivers.ansible.driver import AnsibleDriver
from remediator.drivers.ansible.settings import AnsibleConfig

__all__ = ["AnsibleConfig", "AnsibleDriver"]
