"""The journal: the durable record of jobs, items, parts and events, in one SQLite file that several processes share.

`Journal` provides transactions and consistent reads. The modules beside it work on its connection:

    jobs         what the user asked for, and its destinations
    items        claims, endings, wishes: every change of an item's state
    work         what is left to do: holds, waits, clean-ups
    checkpoints  what an upload or download needs to resume in another process
    views        what front ends show
"""

from backup.journal.schema import JournalDamaged, JournalFull
from backup.journal.store import IllegalTransition, Journal

__all__ = ["IllegalTransition", "Journal", "JournalDamaged", "JournalFull"]
