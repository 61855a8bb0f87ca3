"""The journal: durable truth about jobs, items, parts and events, in one SQLite file that several processes share.

`Journal` gives transactions and consistent looks; what is done in them stands in the modules beside it, as functions
over a connection:

    jobs         what the user asked for, and the places where it goes
    items        claims, ends, wishes: every change of an item's state
    work         what is left to do: holds, waits, clean-ups
    checkpoints  what uploads and downloads need to go on in another process
    views        what front ends are shown
"""

from backup.journal.schema import JournalDamaged, JournalFull
from backup.journal.store import IllegalTransition, Journal

__all__ = ["IllegalTransition", "Journal", "JournalDamaged", "JournalFull"]
