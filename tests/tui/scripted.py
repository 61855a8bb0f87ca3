"""Stand-ins that also set up, check and keep credentials: saved in memory, checked as scripted."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from backup.instances.describing import describe_services
from backup.model.credentials import StoreState
from backup.model.instances import InstanceInfo, InstanceState, ServiceInfo
from backup.queries.questions import CreateDraftContainer, ListDraftContainers, OnStep, Probe, ProbeDraft
from providers.contract.report import CheckStep, ConnectionReport, ErrorInfo, StepName, StepState
from providers.errors import InvalidConfiguration, NotFound, ProviderError
from providers.secret import MASK, Secret
from tests.tui.standin import StandInCore, StandInQuestions, instance

CHECKED_AT = 1_790_000_000.0


class KeyringGone(ProviderError):
    kind = "credential_store"


def passed() -> ConnectionReport:
    steps = tuple(CheckStep(name=name, state=StepState.OK, detail="fine", elapsed_s=0.05) for name in StepName)
    return ConnectionReport(steps=steps, checked_at=CHECKED_AT)


def failed(at: StepName, error: ErrorInfo) -> ConnectionReport:
    """A report in which the step `at` failed; earlier steps passed, and later ones did not run."""
    names = list(StepName)
    before, after = names[: names.index(at)], names[names.index(at) + 1 :]
    steps = [CheckStep(name=name, state=StepState.OK, detail="fine", elapsed_s=0.05) for name in before]
    steps.append(CheckStep(name=at, state=StepState.FAILED, elapsed_s=0.04, error=error))
    steps += [CheckStep(name=name, state=StepState.NOT_RUN) for name in after]
    return ConnectionReport(steps=tuple(steps), checked_at=CHECKED_AT)


class ScriptedCore(StandInCore):
    """The next call that changes something raises `refusal`."""

    def __init__(self) -> None:
        super().__init__()
        self.known_instances = [
            instance("local", title="Local disk", container="/srv/storage"),
            instance("aws_s3", title="AWS S3", container="photos", has_credentials=True, settings={"secret_key": MASK}),
        ]
        self.refusal: ProviderError | None = None
        self.secrets: dict[str, dict[str, Secret]] = {}

    def services(self) -> tuple[ServiceInfo, ...]:
        """Three services: two that can be used and one that cannot."""
        known = [service for service in describe_services() if service.name in ("local", "aws_s3")]
        missing = ServiceInfo(name="dropbox", title="Dropbox", summary="", unavailable="not installed: dropbox")
        return (*known, missing)

    def _refuse(self) -> None:
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal

    def _replace(self, info: InstanceInfo) -> InstanceInfo:
        self.known_instances = [each for each in self.known_instances if each.name != info.name] + [info]
        return info

    def _known(self, name: str) -> InstanceInfo:
        return next(info for info in self.known_instances if info.name == name)

    def save_instance(
        self,
        name: str,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret] | None = None,
        *,
        enable: bool = False,
        expires_at: float | None = None,
    ) -> InstanceInfo:
        self._refuse()
        if secrets and self.store.state is not StoreState.READY:
            raise KeyringGone("the keyring is locked", hint="Unlock it.")
        self.calls.append(("save", name, service, dict(values), enable))
        self.secrets[name] = dict(secrets or {})
        return self._replace(
            instance(name, type=service, title=service, container=values.get("container", ""), enabled=enable)
        )

    def record_check(self, name: str, report: ConnectionReport) -> InstanceInfo:
        self.calls.append(("record", name, report.ok))
        return self._replace(msgspec.structs.replace(self._known(name), checked_at=CHECKED_AT, check_ok=report.ok))

    def set_enabled(self, name: str, enabled: bool) -> InstanceInfo:
        self._refuse()
        if enabled and not self._known(name).check_ok:
            raise InvalidConfiguration(f"{name} has not passed a check", field="enabled", hint="Check it first.")
        self.calls.append(("enable", name, enabled))
        state = InstanceState.READY if enabled else InstanceState.DISABLED
        return self._replace(msgspec.structs.replace(self._known(name), enabled=enabled, state=state))

    def remove_instance(self, name: str) -> None:
        self._refuse()
        self.calls.append(("remove", name))
        self.known_instances = [info for info in self.known_instances if info.name != name]

    def set_credentials(
        self, name: str, username: str | None, password: Secret | None, extra: Mapping[str, Secret] | None = None
    ) -> None:
        self._refuse()
        self.calls.append(("credentials", name, username, bool(password), sorted(extra or {})))


class ScriptedQuestions(StandInQuestions):
    """Answers checks with the reports in `script`, in turn, repeating the last one. Errors are raised."""

    def __init__(self, *script: ConnectionReport | ProviderError) -> None:
        super().__init__()
        self.objects = {"local": {}, "aws_s3": {}, "aws_s3_2": {}}
        self.script: list[ConnectionReport | ProviderError] = list(script) or [passed()]
        self.hold_after: StepName | None = None
        """After reporting this step, a check waits for `release`."""
        self.release = threading.Event()
        self.known_containers: list[str] = []
        self.asked_secrets: list[dict[str, str]] = []

    def _check(self, on_step: OnStep | None) -> ConnectionReport:
        outcome = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(outcome, ProviderError):
            raise outcome
        for step in outcome.steps:
            if on_step is not None and step.state is not StepState.NOT_RUN:
                on_step(step)
            if step.name is self.hold_after:
                self.release.wait(10)
        return outcome

    def probe(self, question: Probe, on_step: OnStep | None = None) -> ConnectionReport:
        self.calls.append(("probe", question.instance))
        return self._check(on_step)

    def probe_draft(self, question: ProbeDraft, on_step: OnStep | None = None) -> ConnectionReport:
        self.calls.append(("probe_draft", question.service, question.values, question.instance))
        self.asked_secrets.append({name: secret.reveal() for name, secret in question.secrets.items()})
        return self._check(on_step)

    def list_draft_containers(self, question: ListDraftContainers) -> list[str]:
        self.calls.append(("draft_containers", question.service))
        return list(self.known_containers)

    def create_draft_container(self, question: CreateDraftContainer) -> None:
        self.calls.append(("create_draft_container", question.values.get("container")))
        if question.values.get("container") == "taken":
            raise NotFound("somebody else has it")


def no_bucket(name: str = "photos") -> ConnectionReport:
    error = ErrorInfo("not_found", f"there is no bucket {name!r}", "Check the name.", "NoSuchBucket")
    return failed(StepName.CONTAINER, error)


def calls_of(stand_in: Any, verb: str) -> list[tuple[Any, ...]]:
    return [call for call in stand_in.calls if call[0] == verb]
