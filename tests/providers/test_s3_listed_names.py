"""Servers whose listings cannot hold every name: detected at setup, and read as far as possible."""

from __future__ import annotations

from urllib.parse import quote, quote_plus, unquote

import pytest

from providers.aws_s3.discovery import KeySpelling
from providers.aws_s3.errors import S3Reply
from providers.contract.aged_facts import MAX_AGE_S
from providers.contract.context import FactsInMemory, ProviderContext
from providers.contract.upload import UploadRequest
from providers.errors import InvalidName, ProviderError
from providers.http import mended_xml
from tests.providers.s3_stub import error, stub


class Small:
    """A small S3 in memory that lists keys in the form given by `spell`."""

    def __init__(self, spell=lambda key: key, *, says_url: bool = True, drops_slash: bool = False) -> None:
        self.spell = spell
        self.says_url = says_url
        self.drops_slash = drops_slash
        self.objects: dict[str, bytes] = {}
        self.tried = 0

    def __call__(self, method, path, headers, body):
        path, _, query = path.partition("?")
        key = unquote(path.removeprefix("/bucket").removeprefix("/"))
        if self.drops_slash:
            key = key.rstrip("/")
        if not key:
            return self.listed(unquote(query.partition("prefix=")[2].partition("&")[0]), query)
        if method == "PUT" and "uploadId" not in query:
            self.tried += 1
            self.objects[key] = body
        if method == "POST":
            root = "InitiateMultipartUploadResult" if "uploads" in query else "CompleteMultipartUploadResult"
            return 200, {}, f"<{root}><UploadId>u</UploadId><ETag>e</ETag></{root}>".encode()
        if method == "DELETE":
            self.objects.pop(key, None)
        if method in ("GET", "HEAD") and key not in self.objects:
            return error(404, "NoSuchKey")
        return 200, {"ETag": '"opaque"'}, self.objects.get(key, b"") if method == "GET" else b""

    def listed(self, prefix, query):
        if "versioning" in query:
            return 200, {}, b"<VersioningConfiguration/>"
        if "uploads" in query:
            return 200, {}, b"<ListMultipartUploadsResult/>"
        encoding = "<EncodingType>url</EncodingType>" if self.says_url else ""
        items = "".join(
            f"<Contents><Key>{self.spell(key)}</Key><Size>{len(data)}</Size></Contents>"
            for key, data in self.objects.items()
            if key.startswith(prefix)
        )
        return (
            200,
            {},
            f"<ListBucketResult>{encoding}{items}<IsTruncated>false</IsTruncated></ListBucketResult>".encode(),
        )


SERVERS = {
    "form": (quote_plus, KeySpelling.FORM),
    "percent": (quote, KeySpelling.FORM),
    "percent but for plus": (lambda key: quote(key, safe="+/"), KeySpelling.PERCENT),
    "not at all": (lambda key: key, KeySpelling.AS_THEY_ARE),
}


@pytest.mark.parametrize("says_url", [True, False])
@pytest.mark.parametrize("server", SERVERS)
def test_the_spelling_of_listed_keys_is_tested_at_setup(server, says_url):
    spell, expected = SERVERS[server]
    small = Small(spell, says_url=says_url)
    with stub(small) as running:
        provider = running.provider()
        provider.learn()
        assert provider._known_facts().listed_keys is expected
        assert small.objects == {}, "the probe is left behind"
        asked = {unquote(path, "latin-1") for _, path, *_ in running.seen}
        assert all(path.isprintable() for path in asked), "a dangerous name was stored"
        small.objects = {"a+b c%20d": b"1"}
        assert [file.key for file in provider.scan().files] == ["a+b c%20d"]
        if expected is KeySpelling.AS_THEY_ARE:
            with pytest.raises(InvalidName, match="cannot list"):
                provider.open_upload(UploadRequest(key="a\x1bb", size_bytes=1, part_size_bytes=1))
        else:
            provider.check_name("a\x1bb")


@pytest.mark.parametrize("keeps", [True, False])
def test_support_for_empty_folders_is_tested_at_setup(keeps):
    small = Small(quote_plus, drops_slash=not keeps)
    with stub(small) as running:
        provider = running.provider()
        provider.learn()
        assert provider.capabilities.empty_directories is keeps
    assert small.objects == {}


class Unlisted(Small):
    """The keys may store and fetch, but not list; or listings lag behind."""

    def __init__(self, refusal=None, **how) -> None:
        super().__init__(quote_plus, **how)
        self.refusal = refusal

    def listed(self, prefix, query):
        if "list-type" in query and self.refusal:
            return error(*self.refusal)
        return super().listed("nothing begins with this", query)


@pytest.mark.parametrize("drops_slash", [True, False])
@pytest.mark.parametrize(
    "refusal", [(403, "AccessDenied"), (400, "InvalidRequest"), (501, "NotImplemented"), None], ids=str
)
def test_folders_are_stored_only_if_they_were_seen_to_stay_folders(refusal, drops_slash):
    """Unknown does not mean yes: a server may turn it into a file, and then nothing can be put into the folder."""
    small = Unlisted(refusal, drops_slash=drops_slash)
    with stub(small) as running:
        provider = running.provider()
        provider.learn()
        assert provider.capabilities.empty_directories is False
        assert provider.capabilities.folder_modes is False
    assert small.objects == {}


MENDED = {
    "a raw control character": ("<Key>d/a\x1bb</Key>", "d/a\x1bb"),
    "a reference to one": ("<Key>d/a&#x1b;b</Key>", "d/a\x1bb"),
    "a decimal reference": ("<Key>d/a&#7;b</Key>", "d/a\x07b"),
    "a lone ampersand": ("<Key>d/a & b</Key>", "d/a & b"),
    "an escaped ampersand": ("<Key>d/a &amp; b\x01</Key>", "d/a & b\x01"),
    "what looks like the beginning of a tag": ("<Key>d/a<b</Key>", "d/a<b"),
    "what looks like a tag": ("<Key>d/a<b>c</Key>", "d/a<b>c"),
    "an end of what never began": ("<Key>d/a]]>b</Key>", "d/a]]>b"),
    "a character that is none": ("<Key>d/a\uffffb</Key>", "d/a\uffffb"),
}


@pytest.mark.parametrize("case", MENDED)
def test_a_listing_with_a_name_that_xml_forbids_is_read(case):
    entry, key = MENDED[case]
    body = (
        f"<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='x'><Contents>{entry}<Size>1</Size></Contents>"
        "<Contents><Key>d/good</Key><Size>2</Size></Contents><IsTruncated>false</IsTruncated></ListBucketResult>"
    ).encode()
    with stub(lambda *_: (200, {}, body)) as running:
        assert [file.key for file in running.provider().scan("d/").files] == [key, "d/good"]


def test_bytes_that_are_not_text_are_kept():
    body = b"<ListBucketResult><Contents><Key>caf\xe9</Key><Size>1</Size></Contents></ListBucketResult>"
    with stub(lambda *_: (200, {}, body)) as running:
        assert [file.key for file in running.provider().scan().files] == ["caf\udce9"]


@pytest.mark.parametrize(
    "body",
    [
        "<ListBucketResult><Contents><Key>a",
        "<ListBucketResult>",
        "<ListBucketResult><Contents>",
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><ListBucketResult><Contents><Key>&x;</Key></Contents>',
        "<?xml version='1.0'?><!-- a > b --><s:ListBucketResult xmlns:s='s'><s:Contents>",
    ],
)
def test_a_listing_that_cannot_be_read_does_not_blame_the_address(body):
    with stub(lambda *_: (200, {}, body.encode())) as running, pytest.raises(ProviderError) as caught:
        running.provider().scan()
    assert caught.value.kind == "integrity"
    assert "endpoint_url" not in caught.value.message + caught.value.hint


@pytest.mark.timeout(60)
def test_a_broken_listing_takes_no_longer_than_its_length():
    """Parsing holds the interpreter: quadratic time would stop the transfers of every provider."""
    for body in (b"<Key>" * 200_000, b"<!-- -->" * 200_000, (b"<Key>" * 400 + b"</Contents><Contents>") * 400):
        assert mended_xml.parsed(b"<ListBucketResult>" + body) is None
        assert not mended_xml.begins_as(body, "ListBucketResult")


def test_facts_about_a_server_expire_and_are_tested_again():
    small, facts, now = Small(quote_plus), FactsInMemory(), [1_000_000.0]
    with stub(small) as running:

        def connected():
            context = ProviderContext(facts=facts, now=lambda: now[0], clock=lambda: now[0])
            return running.provider(context=context)

        first = connected()
        first.learn()
        small.tried = 0
        connected().learn()
        first.learn()
        assert small.tried == 0
        now[0] += MAX_AGE_S - 10
        connected().learn()
        assert small.tried == 0
        small.spell = lambda key: key
        now[0] += 20
        assert first._known_facts().listed_keys is KeySpelling.UNKNOWN
        first.learn()
        assert small.tried > 0
        assert first._known_facts().listed_keys is KeySpelling.AS_THEY_ARE
        small.tried = 0
        now[0] -= MAX_AGE_S  # the clock was set back: the fact is from the future
        connected().learn()
        assert small.tried > 0


def test_facts_without_an_age_are_tested_again():
    small, facts = Small(quote_plus), FactsInMemory()
    with stub(small) as running:
        provider = running.provider(context=ProviderContext(facts=facts))
        facts.remember(provider._facts_key, {"conditional": True})
        assert not provider.capabilities.conditional_commit
        provider.learn()
        assert small.tried > 0


def test_an_unreadable_answer_names_no_address():
    found = S3Reply(200, {}, b"<ListBucketResult><Contents>")
    with pytest.raises(ProviderError) as caught:
        found.xml("ListBucketResult")
    assert "name" in caught.value.message
