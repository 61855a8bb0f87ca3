"""The page of the set-up flow with the form. Its contents and a grant from a browser go into the draft."""

from __future__ import annotations

from collections.abc import Collection

from textual import on, work
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from providers.contract.authorization import Grant
from providers.errors import InvalidConfiguration
from screens.modals.authorize import AuthorizeScreen
from screens.modals.setup.draft import SetupDraft, free_name
from screens.modals.setup.pages import NOTHING_STORED, SetupPage
from tui.remedies import advice
from tui.text import safe
from tui.theme import STYLES, Tone
from tui.widgets.field_row import says_no_more
from tui.widgets.settings_form import SettingsForm


class SettingsPage(VerticalScroll, can_focus=False):
    """The form, recreated for each service."""

    def __init__(self) -> None:
        super().__init__(id=SetupPage.SETTINGS.value)
        self.form: SettingsForm | None = None
        self._draft: SetupDraft | None = None

    async def open(self, draft: SetupDraft, taken: Collection[str]) -> None:
        """Show the form for `draft`, filled with the saved settings. `taken` are the names of other instances."""
        known, service = draft.instance, draft.service
        name = known.name if known else free_name(service.name, taken)
        values = known.settings if known else {}
        self._draft = draft
        self.form = SettingsForm(service.fields, values, name=name, new=known is None, taken=taken)
        await self.remove_children()
        await self.mount(self.form)
        if service.authorized:
            words = "No token to type: fill in the fields above, then authorise in a browser."
            await self.mount(Static(Content(words), id="authorized", classes="quiet"))
            await self.mount(Button(Content("Authorise in a browser"), id="authorize-button"))
        await self.mount(
            Static(Content(f"↵ checks the connection. {NOTHING_STORED}"), classes="quiet"),
            Button(Content("Check the connection"), id="check"),
        )

    def take(self) -> bool:
        """Put the input into the draft. False if it is invalid, with notes at the fields."""
        form, draft = self.form, self._draft
        if form is None or draft is None or not form.check():
            return False
        draft.name, draft.values = form.instance_name, form.values()
        draft.secrets |= form.take_secrets()
        return True

    @on(Button.Pressed, "#authorize-button")
    @work(exclusive=True)
    async def _authorize(self) -> None:
        form, draft = self.form, self._draft
        if form is None or draft is None:
            return
        draft.secrets |= form.take_secrets()
        saved = draft.instance.name if draft.instance else ""
        screen = AuthorizeScreen(draft.service, form.values(), draft.secrets, instance=saved)
        grant: Grant | None = await self.app.push_screen_wait(screen)
        if grant is not None:
            draft.secrets, draft.expires_at = draft.secrets | grant.secrets, grant.expires_at
            self._show_grant(grant)

    def _show_grant(self, grant: Grant) -> None:
        """Fill in the grant, except for secrets, and show the account."""
        for name, text in grant.values.items():
            if self.has_field(name):
                self.set_text(name, text)
        whose = f" by {safe(grant.account)}" if grant.account else ""
        head = Content.styled(f"✔ Authorised{whose}.", STYLES[Tone.PROVED])
        warnings = [Content.styled(safe(warning), STYLES[Tone.WAITING]) for warning in grant.warnings]
        self.query_one("#authorized", Static).update(Content("\n").join([head, *warnings]))

    @property
    def edited(self) -> bool:
        return self.form is not None and self.form.edited

    def focus_first(self) -> None:
        if self.form is not None:
            self.form.focus_first()

    def has_field(self, name: str) -> bool:
        return self.form is not None and self.form.has_field(name)

    def set_text(self, name: str, text: str) -> None:
        if self.form is not None:
            self.form.set_text(name, text)

    def complain(self, error: InvalidConfiguration) -> None:
        """Show the reason for a refused setting at its field."""
        hint = "" if says_no_more(error) else f". {advice(error)}"
        if self.form is not None:
            self.form.show_problem(error.field, error.message.removeprefix(f"{error.field}: ") + hint)
