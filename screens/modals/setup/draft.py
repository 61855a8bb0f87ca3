"""The input of the set-up flow, and what can be done with it. It exists in memory only."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from backup.model.instances import InstanceInfo, ServiceInfo
from backup.queries.questions import CreateDraftContainer, ListDraftContainers, ProbeDraft
from providers.contract.report import CheckStep, ConnectionReport, StepName, StepState
from providers.secret import Secret
from tui.bridge import Bridge
from tui.text import safe


@dataclass(frozen=True)
class SetUp:
    """The outcome of the flow: an instance that was just checked and saved."""

    name: str
    report: ConnectionReport
    browse: bool


@dataclass
class SetupDraft:
    """Methods that ask the service or the core raise ProviderError."""

    bridge: Bridge = field(repr=False)
    service: ServiceInfo
    instance: InstanceInfo | None
    """The saved instance to change; None for a new one."""
    name: str = ""
    values: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    expires_at: float | None = None
    """The time at which the grant expires, if known."""
    report: ConnectionReport | None = None

    @property
    def title(self) -> str:
        """The title of the flow, escaped."""
        return f"Change {safe(self.instance.name)}" if self.instance else f"Set up {safe(self.service.title)}"

    @property
    def passed(self) -> bool:
        return self.report is not None and self.report.ok

    @property
    def misses_container(self) -> bool:
        """Whether the check failed because the container does not exist, and can be created."""
        return self._not_found_at in (StepName.REACH, StepName.CONTAINER)

    @property
    def can_choose(self) -> bool:
        """Whether the check failed at the container, after authentication: the key may be able to list others."""
        failed = self._failed
        return failed is not None and failed.name is StepName.CONTAINER and _kind(failed) in ("not_found", "permission")

    def allows(self, action: str) -> bool:
        """The actions after a check: 'keep' if it passed, otherwise 'check' again, and help with the container."""
        return {
            "keep": self.passed,
            "check": not self.passed,
            "create": self.misses_container,
            "choose": self.can_choose,
        }[action]

    @property
    def _not_found_at(self) -> StepName | None:
        failed = self._failed
        return failed.name if failed and _kind(failed) == "not_found" else None

    @property
    def _failed(self) -> CheckStep | None:
        steps = self.report.steps if self.report else ()
        return next((step for step in steps if step.state is StepState.FAILED), None)

    @property
    def _held(self) -> tuple[str, dict[str, str], dict[str, Secret], str]:
        """The current contents of the form, for a `DraftQuestion`."""
        return self.service.name, dict(self.values), dict(self.secrets), self._saved_name

    async def check(self, on_step: Callable[[CheckStep], None]) -> ConnectionReport:
        """Check the connection with the input. Stores nothing."""
        self.report = None
        self.report = await self.bridge.ask(ProbeDraft(*self._held), on_step)
        return self.report

    async def containers(self) -> list[str]:
        """The containers that these credentials can list."""
        return await self.bridge.ask(ListDraftContainers(*self._held))

    async def create_container(self) -> bool:
        """Create the container named in the settings. True if it exists now."""
        await self.bridge.ask(CreateDraftContainer(*self._held))
        return True

    async def save(self) -> InstanceInfo:
        """Save the secrets to the store, then settings and check result to the configuration. Forgets the secrets."""
        assert self.report is not None
        core = self.bridge.core
        await self.bridge.call(
            core.instances.save,
            self.name,
            self.service.name,
            self.values,
            self.secrets,
            enable=True,
            expires_at=self.expires_at,
        )
        info = await self.bridge.call(core.instances.record_check, self.name, self.report)
        self.secrets.clear()
        self.bridge.learn(info)
        return info

    def outcome(self, *, browse: bool) -> SetUp:
        """Valid after `save`."""
        assert self.report is not None
        return SetUp(self.name, self.report, browse)

    @property
    def _saved_name(self) -> str:
        return self.instance.name if self.instance else ""


def free_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, with a number if that name is in use."""
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _kind(step: CheckStep) -> str:
    return step.error.kind if step.error else ""
