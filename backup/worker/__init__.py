"""The worker: `python -m backup.worker`, the detached process that drains the journal.

__main__   the process: lock, signals, log, farewell
drain      the one loop that claims work and hands it to lanes
lane       all transfers of one instance: one provider, one budget of connections
scanning   jobs into items, streamed
ledger     many small changes of the journal in one commit
live       progress, from the providers' callbacks to whoever subscribes
listener   the socket
start      how other processes start one (imports none of the above)
"""
