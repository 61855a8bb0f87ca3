"""One journal shared by processes that come and go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from backup.journal import Journal
from backup.system.paths import Paths

ROOT = Path(__file__).resolve().parents[2]
CHANGE = """
import sys
from pathlib import Path
from backup.journal import Journal

with Journal(Path(sys.argv[1])) as journal, journal.transaction():
    pass
"""


def test_a_process_that_comes_and_goes_disturbs_no_other(paths: Paths):
    """A former fault: opening a second connection dropped the locks of the first, and the next process to leave deleted
    the log that this one still used."""
    with Journal(paths.journal_file) as journal:
        before = journal.revision()
        for number in (1, 2):
            subprocess.run([sys.executable, "-c", CHANGE, str(paths.journal_file)], cwd=ROOT, timeout=30, check=True)
            assert journal.revision() == before + number
        with journal.transaction():
            pass
        assert journal.revision() == before + 3
