'''The contract suite, for authors of storage services.

Importing this package loads neither pytest nor an SDK. The program itself never imports it. pytest is not among the
program's dependencies: install it beside your plug-in.

A harness describes your service, and a container of it that the tests may fill. It changes and reads objects without
your provider, so that the two cannot be wrong together. For a plug-in `acme` that keeps objects in memory:

    # acme_harness.py
    from contextlib import contextmanager

    from acme_memory import CONTAINERS, AcmeProvider, Stored
    from providers.contract.capabilities import Proof
    from providers.testing.harness import Connections, Harness, Limits


    class Root(Connections):
        """A container, seen without the provider."""

        def stored(self):
            return {key: found.data for key, found in CONTAINERS["suite"].objects.items()}

        def plant(self, objects):
            CONTAINERS["suite"].objects.update({key: Stored(data) for key, data in objects.items()})

        def leftovers(self):
            return list(CONTAINERS["suite"].unfinished)

        def expire(self):
            CONTAINERS["suite"].unfinished.clear()

        def other_container(self):
            return {"container": "other"}

        def damage(self, key):
            data = self.stored()[key]
            self.plant({key: bytes([data[0] ^ 0xFF]) + data[1:]})


    @contextmanager
    def opened(fixture, tmp):
        for container in CONTAINERS.values():
            container.objects.clear()
            container.unfinished.clear()
        root = Root("acme", {"container": "suite", "upload_chunk_size": 1 << 20}, tmp)
        try:
            yield root
        finally:
            root.close()


    HARNESS = Harness(
        name="acme",
        service="acme",
        open=opened,
        capabilities=AcmeProvider.declared,
        limits=Limits(
            part_bytes=1 << 20,
            refused_names=frozenset(
                {"absolute", "parent", "inner parent", "dot", "empty segment", "nul", "too long", "empty"}
            ),
            proof_of_one=Proof.MATCHED,
            proof_of_parts=Proof.MATCHED,
        ),
        missing_container={"container": "none"},
    )

This command runs the tests that apply to its capabilities and limits, and deselects the others:

    CONTRACT_HARNESS=acme_harness:HARNESS python -m pytest -p providers.testing.plugin --pyargs providers.testing.suite

To have them in a test suite of your own, write a module for each of the suite's, and one conftest.py beside them:

    # tests/contract/test_names.py
    from providers.testing.suite.objects.test_names import *

    # tests/contract/conftest.py
    from acme_harness import HARNESS
    from providers.testing.fixtures import *

    def pytest_generate_tests(metafunc):
        over(metafunc, [HARNESS])

A service over a network is tested through `fault_proxy.FaultProxy`, which makes chosen requests go wrong; its harness
has a `Wire`, which recognises requests, and `Trouble`s, the answers that must become certain errors. A class in the
style of the guide needs only `guide_style.guide_style`.
'''
