"""The running loop, as the acceptance tests have it."""

from tests.acceptance.conftest import loop as loop
