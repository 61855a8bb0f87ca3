"""The worker: a separate process that runs transfers. Its modules:

scheduler         the one loop that claims work and hands it to the instance runners
instance_runner   all transfers of one instance: one provider, one budget of connections
shared_provider   the provider that an instance's transfers share
batch_writer      many small changes of the journal in one commit
progress          the progress board: what runs now, for front ends
listener          the socket that front ends connect to
"""
