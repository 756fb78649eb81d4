"""Mail: sending it, reading it."""

import pytest
from programs.running import CROWD, run_both

pytestmark = [pytest.mark.slow, pytest.mark.outside]
#: Each session is a process of Dovecot's.
SESSIONS = 20


def test_smtplib(smtp, authority) -> None:
    lines = run_both("use_mail.py", smtp, authority[0], CROWD).splitlines()
    assert lines[-1] == f"{CROWD} False {CROWD} messages"


def test_imaplib(imap) -> None:
    lines = run_both("use_imap.py", imap, SESSIONS).splitlines()
    assert lines[-1] == "True"
