"""Dialogues in sequence until the credential store is open.

Call these functions in a worker. They end when the store is ready or the user gives up.
"""

from __future__ import annotations

from textual.dom import DOMNode

from backup.model.credentials import TITLES, StoreBackend, StoreChoice, StoreFacts, StoreState
from providers.contract.report import ErrorInfo
from providers.errors import Conflict, ProviderError
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from screens.modals.credentials.choose_store import ChooseStore
from screens.modals.credentials.move import MoveCredentials
from screens.modals.credentials.new_passphrase_dialogs import CreateStore
from screens.modals.credentials.passphrase_dialogs import UnlockStore
from screens.modals.credentials.secret_dialog import Ended
from screens.modals.problem import ProblemScreen
from tui.bridge import bridge_of
from tui.text import count


async def open_store(node: DOMNode) -> bool:
    """Unlock or create the store in use. If there is none, or the user wants another, let one be chosen first. True if
    the store is ready."""
    bridge = bridge_of(node)
    while True:
        choices = await _choices(node)
        store = next((each for each in choices if each.in_use), None)
        if store is not None and store.state is StoreState.READY:
            bridge.instances_changed()
            return True
        ended = await _open(node, store) if store else Ended.OTHER_STORE
        if ended is Ended.LATER:
            return False
        if ended is Ended.OTHER_STORE and not await choose_store(node):
            return False


async def _open(node: DOMNode, store: StoreChoice) -> Ended:
    if store.can_unlock:
        return await node.app.push_screen_wait(UnlockStore(store))
    if store.can_create:
        return await node.app.push_screen_wait(CreateStore(store))
    return Ended.OTHER_STORE


async def choose_store(node: DOMNode) -> bool:
    """Let the user choose a store, make it ready, and move the credentials from the former one. False if none was
    chosen, or the chosen one is not ready."""
    bridge, app = bridge_of(node), node.app
    choices = await _choices(node)
    backend = await app.push_screen_wait(ChooseStore(choices)) if choices else None
    if backend is None:
        return False
    chosen = next(each for each in choices if each.backend is backend)
    former = next((each for each in choices if each.in_use), None)
    if not await _made_ready(node, chosen):
        return False
    try:
        await bridge.call(bridge.core.credentials.use, backend)
    except Conflict:
        return former is not None and await _move(node, former, backend)
    except ProviderError as error:
        await app.push_screen_wait(ProblemScreen(ErrorInfo.of(error)))
        return False
    bridge.instances_changed()
    return True


async def _made_ready(node: DOMNode, chosen: StoreChoice) -> bool:
    if chosen.state is StoreState.READY:
        return True
    if not (chosen.can_unlock or chosen.can_create):
        problem = ErrorInfo("credential_store", chosen.detail or chosen.title, chosen.hint, remedies=chosen.remedies)
        await node.app.push_screen_wait(ProblemScreen(problem))
        return False
    return await _open(node, chosen) is Ended.DONE


async def _move(node: DOMNode, former: StoreChoice, to: StoreBackend) -> bool:
    """The former store holds credentials: move them, or leave everything as it is."""
    bridge = bridge_of(node)
    facts: StoreFacts = await bridge.call(bridge.core.credentials.facts)
    kept = sum(bool(each.fields) for each in facts.credentials)
    question = Question(
        "Move the credentials?",
        [
            Fact("moves", count(kept, "credential")),
            Fact("from", TITLES[former.backend]),
            Fact("to", TITLES[to]),
            Fact("how", "copied, read back, compared; then the new store is used. Old copies stay until you say so."),
        ],
        [Choice("Move them", True)],
    )
    if not await node.app.push_screen_wait(ConfirmScreen(question)):
        return False
    await node.app.push_screen_wait(MoveCredentials(former.backend, to))
    return True


async def _choices(node: DOMNode) -> tuple[StoreChoice, ...]:
    bridge = bridge_of(node)
    try:
        found: tuple[StoreChoice, ...] = await bridge.call(bridge.core.credentials.choices)
    except ProviderError as error:
        await node.app.push_screen_wait(ProblemScreen(ErrorInfo.of(error)))
        return ()
    return found
