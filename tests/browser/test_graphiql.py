"""GraphiQL's page in a real Chromium: what a new user does, and that it needs no other host."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from bson import ObjectId
from graphiql_stub import CLIENT, FACILITY, OWNER, PASSWORD
from playwright.async_api import Browser, BrowserContext, Locator, Page, Request, WebSocket, expect
from redis.asyncio import Redis

from nexfit.hybrid.event_stream import STREAM, entry_id
from tests.api.conftest import local
from tests.live.conftest import visit as visit_entry

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

EDITOR_TEXT = """name => {
  const model = globalThis.__MONACO?.editor.getModels().find(model => model.uri.path.endsWith(name));
  return model ? model.getValue() : "";
}"""


SET_EDITOR_TEXT = """([name, text]) =>
  globalThis.__MONACO.editor.getModels().find(model => model.uri.path.endsWith(name)).setValue(text)"""


@dataclass
class Observed:
    """What a page asked for and complained about."""

    requests: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        """Hosts with port; `data:` and `blob:` addresses have none and leave the page for nowhere."""
        return {urlsplit(url).netloc for url in self.requests + self.sockets} - {""}


@dataclass
class Visit:
    """One visitor's page with helpers in the visitor's words."""

    page: Page
    observed: Observed

    @property
    def bar(self) -> Locator:
        """The strip above GraphiQL."""
        return self.page.locator("#bar")

    async def open(self, url: str) -> None:
        await self.page.goto(url)
        await expect(self.page.get_by_role("button", name="Execute query")).to_be_visible()
        await self.text("operation.graphql", bool)

    async def until(self, script: str, argument: Any, wanted: Callable[[Any], bool]) -> Any:
        """Polls from outside: the page's Content-Security-Policy forbids Playwright's own waiting, which uses eval."""
        async with asyncio.timeout(20):
            while not wanted(value := await self.page.evaluate(script, argument)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return value

    async def text(self, editor: str, wanted: Callable[[str], bool] = lambda _: True) -> str:
        """The text of an editor, once it is as wanted.

        Editors: operation.graphql, variables.json, request-headers.json, response.json.
        """
        return str(await self.until(EDITOR_TEXT, editor, wanted))

    async def json(self, editor: str) -> Any:
        return json.loads(await self.text(editor, lambda text: text.rstrip().endswith("}")))

    async def write(self, editor: str, text: str) -> None:
        await self.page.evaluate(SET_EDITOR_TEXT, [editor, text])

    async def log_in(self, label: str) -> None:
        await self.page.get_by_role("button", name=f"Log in as demo {label}").first.click()
        await expect(self.page.get_by_role("button", name="Log out")).to_be_visible()
        await self.text("request-headers.json", lambda text: "Bearer " in text)

    async def switch_to(self, operation: str) -> None:
        """Opens a tab; GraphiQL needs a moment until it runs that tab's operation by its name."""
        await self.page.get_by_role("tab", name=operation).first.click()
        await self.until(
            "() => localStorage.getItem('graphiql:query')", None, lambda query: f" {operation}" in (query or "")
        )

    async def run(self) -> Any:
        await self.page.get_by_role("button", name="Execute query").click()
        return await self.json("response.json")

    async def tabs(self) -> list[str]:
        return await self.page.get_by_label("Select active operation").get_by_role("tab").all_inner_texts()


@pytest.fixture
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    context = await chromium.new_context(viewport={"width": 1360, "height": 820}, color_scheme="light")
    context.set_default_timeout(20_000)
    yield context
    await context.close()


@pytest.fixture
async def visit(context: BrowserContext) -> AsyncIterator[Visit]:
    """A page whose every request is recorded; afterwards no other host was asked and nothing was complained about."""
    observed = Observed()

    def on_request(request: Request) -> None:
        observed.requests.append(request.url)

    def on_socket(socket: WebSocket) -> None:
        observed.sockets.append(socket.url)

    context.on("request", on_request)
    page = await context.new_page()
    page.on("websocket", on_socket)
    page.on("pageerror", lambda error: observed.complaints.append(f"uncaught: {error}"))
    page.on(
        "console",
        lambda message: (
            observed.complaints.append(f"{message.type}: {message.text}")
            if message.type in ("error", "warning")
            else None
        ),
    )
    yield Visit(page, observed)
    assert observed.hosts() == {urlsplit(page.url).netloc}
    assert observed.complaints == []


async def test_page_opens_with_the_example_operations(visit: Visit, graphiql_url: str) -> None:
    await visit.open(graphiql_url)
    assert await visit.page.title() == "NexFit GraphQL"
    await expect(visit.page.get_by_role("heading", level=1)).to_contain_text("NexFit")
    assert await visit.tabs() == ["OwnerOverview", "Login", "FindFacilities", "Viewer", "FacilityActivity"]
    assert "query OwnerOverview" in await visit.text("operation.graphql")
    assert {"facility", "from", "to"} == set(await visit.json("variables.json"))
    await expect(visit.page.get_by_role("button", name="Headers")).to_be_visible()
    await expect(visit.page.get_by_text("Not logged in")).to_be_visible()


async def test_editors_work_with_workers_of_our_own_origin(visit: Visit, graphiql_url: str) -> None:
    await visit.open(graphiql_url)
    # The worker validates against the schema it was given: an unknown field gets marked.
    await visit.write("operation.graphql", "{ noSuchField }")
    markers = "() => globalThis.__MONACO.editor.getModelMarkers({}).map(marker => marker.message)"
    await visit.until(markers, None, lambda messages: any("noSuchField" in message for message in messages))
    workers = [worker.url for worker in visit.page.workers]
    assert any("graphql.worker" in url for url in workers)
    assert {urlsplit(url).netloc for url in workers} == {urlsplit(graphiql_url).netloc}


async def test_owner_logs_in_and_sees_the_overview(visit: Visit, graphiql_url: str) -> None:
    await visit.open(graphiql_url)
    await visit.log_in("owner")
    headers = await visit.json("request-headers.json")
    assert headers["Authorization"].startswith("Bearer ")
    assert (await visit.json("variables.json"))["facility"]
    answer = await visit.run()
    assert "errors" not in answer
    facility = answer["data"]["facility"]
    assert facility["name"]
    assert facility["classes"]["nodes"][0]["name"]
    assert facility["members"]["nodes"][0]["user"]["lastName"]
    await expect(visit.page.locator(".result-window")).to_contain_text("classes")


async def test_every_tab_carries_the_token_until_log_out(visit: Visit, graphiql_url: str) -> None:
    await visit.open(graphiql_url)
    await visit.log_in("owner")
    await visit.switch_to("Viewer")
    answer = await visit.run()
    assert "errors" not in answer
    assert answer["data"]["viewer"]["facilities"]["nodes"]
    await visit.page.get_by_label("New tab").click()
    assert (await visit.json("request-headers.json"))["Authorization"].startswith("Bearer ")

    await visit.page.get_by_role("button", name="Log out").click()
    await expect(visit.page.get_by_text("Not logged in")).to_be_visible()
    assert await visit.text("request-headers.json") == ""
    await visit.switch_to("Viewer")
    assert await visit.text("request-headers.json") == ""


async def test_public_search_needs_no_login(visit: Visit, graphiql_url: str) -> None:
    await visit.open(graphiql_url)
    await visit.switch_to("FindFacilities")
    answer = await visit.run()
    assert "errors" not in answer
    assert answer["data"]["facilities"]["nodes"]


async def test_reload_keeps_tabs_and_login(visit: Visit, graphiql_url: str) -> None:
    await visit.open(graphiql_url)
    await visit.log_in("owner")
    await visit.page.get_by_label("Open an example operation").select_option("Viewer")
    stored = "() => JSON.parse(localStorage.getItem('graphiql:tabState')).tabs.map(tab => tab.title)"
    await visit.until(stored, None, lambda titles: titles.count("Viewer") == 2)
    await visit.page.reload()
    await expect(visit.page.get_by_role("button", name="Log out")).to_be_visible()
    assert await visit.tabs() == ["OwnerOverview", "Login", "FindFacilities", "Viewer", "FacilityActivity", "Viewer"]
    assert (await visit.json("request-headers.json"))["Authorization"].startswith("Bearer ")
    await visit.switch_to("OwnerOverview")
    assert (await visit.json("variables.json"))["facility"]


async def test_client_without_facility_is_told_so(visit: Visit, stub_url: str) -> None:
    await visit.open(f"{stub_url}/graphql")
    await visit.log_in("client")
    await expect(visit.bar.get_by_role("status")).to_contain_text("looks after no facility")
    assert (await visit.json("variables.json"))["facility"] == ""


async def test_next_login_replaces_token_but_keeps_own_headers_and_variables(visit: Visit, stub_url: str) -> None:
    await visit.open(f"{stub_url}/graphql")
    await visit.write("request-headers.json", '{"authorization": "Bearer old", "Accept-Language": "tr"}')
    await visit.write("variables.json", '{"facility": "my own", "from": "2026-01-01", "to": "2026-01-31"}')
    await visit.page.get_by_role("button", name="Log in as demo owner").click()
    await visit.text("request-headers.json", lambda text: OWNER in text)
    assert await visit.json("request-headers.json") == {"Authorization": f"Bearer {OWNER}", "Accept-Language": "tr"}
    assert (await visit.json("variables.json"))["facility"] == "my own"


async def test_expired_login_is_announced(visit: Visit, stub_url: str) -> None:
    await visit.open(f"{stub_url}/graphql")
    await visit.log_in("coach")
    await expect(visit.bar.get_by_role("status")).to_contain_text("Your login ended at")


async def test_answer_that_needs_a_login_says_what_to_do(visit: Visit, stub_url: str) -> None:
    await visit.open(f"{stub_url}/graphql")
    answer = await visit.run()
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    await expect(visit.bar.get_by_role("status")).to_contain_text("needs a login")


async def test_own_account_by_keyboard_and_wrong_password(visit: Visit, stub_url: str) -> None:
    """Without demo data there are no demo buttons; the fields are labelled and the keyboard is enough."""
    await visit.open(f"{stub_url}/plain")
    assert await visit.page.get_by_role("button", name="Log in as demo").count() == 0
    await visit.page.get_by_label("E-mail").focus()
    await visit.page.keyboard.type(CLIENT)
    await visit.page.keyboard.press("Tab")
    await visit.page.keyboard.type("wrong")
    await visit.page.keyboard.press("Enter")
    await expect(visit.bar.get_by_role("alert")).to_have_text("The e-mail or the password is wrong.")
    assert await visit.text("request-headers.json") == ""

    await visit.page.get_by_label("Password").fill(PASSWORD)
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.get_by_role("button", name="Log out")).to_be_visible()
    assert await visit.json("request-headers.json") == {"Authorization": f"Bearer {CLIENT}"}


async def test_subscription_opens_its_socket_only_when_run(visit: Visit, stub_url: str) -> None:
    await visit.open(f"{stub_url}/graphql")
    await visit.log_in("owner")
    await visit.write("operation.graphql", "subscription Greet { greeting }")
    await expect(visit.page.get_by_role("tab", name="Greet")).to_be_visible()
    assert visit.observed.sockets == []
    assert await visit.run() == {"data": {"greeting": f"Hello, Bearer {OWNER}"}}
    assert visit.observed.sockets == [f"{stub_url}/graphql".replace("http:", "ws:")]


async def test_owner_sees_an_event_arrive(visit: Visit, graphiql_url: str, redis_url: str) -> None:
    await visit.open(graphiql_url)
    await visit.log_in("owner")
    await visit.switch_to("FacilityActivity")
    first = (await visit.run())["data"]["facilityActivity"]
    assert first["state"] == "STARTED"
    facility = local((await visit.json("variables.json"))["facility"])
    async with Redis.from_url(redis_url) as redis:
        entry = visit_entry(ObjectId(facility), int(time.time() * 1e6), ObjectId())
        name, place, event, text = entry.fields()
        await redis.xadd(STREAM, {name: place, event: text}, id=entry_id(entry.number))
    arrived = await visit.text("response.json", lambda text: "VisitActivity" in text)
    assert str(entry.number) in arrived
    assert [urlsplit(socket).scheme for socket in visit.observed.sockets] == ["ws"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_strip_follows_the_colour_scheme(visit: Visit, stub_url: str, scheme: Any) -> None:
    await visit.page.emulate_media(color_scheme=scheme)
    await visit.open(f"{stub_url}/graphql")
    text, background = await visit.page.evaluate(
        """() => ['color', 'background-color'].map(name =>
          getComputedStyle(document.body).getPropertyValue(name).match(/\\d+/g).slice(0, 3).map(Number))"""
    )
    assert (sum(background) > sum(text)) == (scheme == "light")


async def test_filled_facility_is_the_viewers_first(visit: Visit, stub_url: str) -> None:
    await visit.open(f"{stub_url}/graphql")
    await visit.log_in("owner")
    assert (await visit.json("variables.json"))["facility"] == FACILITY["id"]
    await expect(visit.bar.get_by_role("status")).to_contain_text(FACILITY["name"])
