"""Keys, roles and projects: who gets in, and how far."""

import httpx
import pytest
from visiontune.identity.v1 import identity_pb2, identity_pb2_grpc
from visiontune_gateway import app
from visiontune_gateway.adapters.database import UnitOfWork
from visiontune_gateway.local_keys import provide_api_key
from visiontune_gateway.settings import Settings
from visiontune_gateway.use_cases.exchange import TOKEN_TTL_S, Exchange
from visiontune_kit import channels, pages
from visiontune_kit.database import Database
from visiontune_kit.identity import Kind, Principal, Role
from visiontune_kit.tokens import TokenMinter

from tests.integration.gateway.conftest import Client, Seen
from tests.support import databases

KEYS = "/v1/projects/default/apiKeys"
REQUEST_ID = "0b9fb4a5-1c74-4f5e-bd0b-2f5dbd9f4f2e"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "MissingApiKey"),
        ("", "MissingApiKey"),
        ("Bearer", "MissingApiKey"),
        ("Basic dTpw", "MissingApiKey"),
        ("Bearer vt_k-none_secret", "InvalidApiKey"),
        ("Bearer vt_broken", "InvalidApiKey"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", "InvalidToken"),
        ("Bearer nonsense", "InvalidToken"),
    ],
)
async def test_who_is_not_known_is_told_how_to_be(
    http: httpx.AsyncClient, header: str | None, reason: str
) -> None:
    answer = await http.get("/v1/caller", headers={} if header is None else {"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["details"][0]["reason"] == reason


async def test_a_right_id_with_a_wrong_secret_is_no_key(operator: Client) -> None:
    wrong = Client(operator.http, operator.key[:-1] + ("A" if operator.key[-1] != "A" else "B"))
    assert (await wrong.get("/v1/caller")).status_code == 401


async def test_a_key_says_who_one_is(operator: Client, stranger: Client) -> None:
    assert (await operator.get("/v1/caller")).json() == {
        "subject": f"key:{operator.key.split('_')[1]}",
        "project": "projects/default",
        "role": "ROLE_OPERATOR",
    }
    assert (await stranger.get("/v1/caller")).json()["project"] == "projects/other"


async def test_what_another_project_owns_is_not_found(stranger: Client, seen: Seen) -> None:
    for path in ("/v1/projects/default/datasets/d", KEYS, "/v1/projects/default/trainingJobs/j:watch"):
        answer = await stranger.get(path)
        assert answer.status_code in {403, 404}, path
        assert seen.requests == []
    assert (await stranger.get("/v1/projects/default/datasets/d")).status_code == 404


async def test_a_made_key_works_and_its_secret_is_shown_once(operator: Client) -> None:
    made = (await operator.post(KEYS, json={"displayName": "CI", "role": "ROLE_VIEWER"})).json()
    viewer = Client(operator.http, made["secret"])
    assert (await viewer.get("/v1/caller")).json()["role"] == "ROLE_VIEWER"
    listed = (await operator.get(KEYS)).json()["apiKeys"]
    assert listed[0]["name"] == made["name"]
    assert all("secret" not in key for key in listed)


async def test_only_a_digest_lies_in_the_database(operator: Client, settings: Settings) -> None:
    made = await operator.post(KEYS, json={"role": "ROLE_VIEWER"}, params={"requestId": REQUEST_ID})
    secret = made.json()["secret"].split("_", 2)[2]
    stored = databases.stored_in(settings.database_url)
    assert b"ROLE" not in stored
    assert made.json()["name"].rpartition("/")[2].encode() in stored
    assert secret.encode() not in stored


async def test_pages_list_each_key_once(operator: Client) -> None:
    for number in range(4):
        await operator.post(KEYS, json={"displayName": str(number), "role": "ROLE_VIEWER"})
    names: list[str] = []
    token = ""
    while True:
        page = (await operator.get(KEYS, params={"pageSize": "2", "pageToken": token})).json()
        names += [key.get("displayName", "") for key in page["apiKeys"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert names == ["3", "2", "1", "0", "made on the server"]


async def test_a_made_up_page_token_is_the_callers_fault(operator: Client) -> None:
    request = identity_pb2.ListApiKeysRequest(parent="projects/default")
    token = pages.encode(request, ["yesterday", "k"])
    answer = await operator.get(KEYS, params={"pageToken": token})
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (400, "InvalidPageToken")


async def test_a_repeated_request_makes_one_key_with_a_fresh_secret(operator: Client) -> None:
    body, params = {"role": "ROLE_VIEWER"}, {"requestId": REQUEST_ID}
    first = (await operator.post(KEYS, json=body, params=params)).json()
    second = (await operator.post(KEYS, json=body, params=params)).json()
    assert first["name"] == second["name"]
    assert first["createTime"] == second["createTime"]
    assert (await Client(operator.http, first["secret"]).get("/v1/caller")).status_code == 401
    assert (await Client(operator.http, second["secret"]).get("/v1/caller")).status_code == 200
    other = await operator.post(KEYS, json={"role": "ROLE_EDITOR"}, params=params)
    assert (other.status_code, other.json()["details"][0]["reason"]) == (409, "RequestIdTaken")


async def test_a_role_below_admin_makes_no_keys(operator: Client, seen: Seen) -> None:
    made = (await operator.post(KEYS, json={"role": "ROLE_EDITOR"})).json()
    answer = await Client(operator.http, made["secret"]).post(KEYS, json={"role": "ROLE_VIEWER"})
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (403, "RoleTooLow")


async def test_an_admin_neither_grants_nor_revokes_more_than_they_have(operator: Client) -> None:
    made = (await operator.post(KEYS, json={"role": "ROLE_ADMIN"})).json()
    admin = Client(operator.http, made["secret"])
    assert (await admin.post(KEYS, json={"role": "ROLE_EDITOR"})).status_code == 200
    granted = await admin.post(KEYS, json={"role": "ROLE_OPERATOR"})
    assert (granted.status_code, granted.json()["details"][0]["reason"]) == (403, "RoleAboveOwn")
    operators = f"/v1/projects/default/apiKeys/{operator.key.split('_')[1]}"
    assert (await admin.call("DELETE", operators)).status_code == 403


async def test_a_revoked_key_is_gone(operator: Client) -> None:
    made = (await operator.post(KEYS, json={"role": "ROLE_VIEWER"})).json()
    assert (await operator.call("DELETE", f"/v1/{made['name']}")).status_code == 200
    assert (await Client(operator.http, made["secret"]).get("/v1/caller")).status_code == 401
    again = await operator.call("DELETE", f"/v1/{made['name']}")
    assert (again.status_code, again.json()["details"][0]["reason"]) == (404, "ApiKeyNotFound")


async def test_a_key_of_another_project_cannot_be_revoked(
    stranger: Client, operator: Client, settings: Settings
) -> None:
    admin = Client(operator.http, await provide_api_key(settings, "other", Role.ADMIN, ""))
    key_id = operator.key.split("_")[1]
    assert (await admin.call("DELETE", f"/v1/projects/other/apiKeys/{key_id}")).status_code == 404
    assert (await operator.get("/v1/caller")).status_code == 200


async def test_a_key_without_a_role_is_refused_by_the_proto(operator: Client) -> None:
    answer = await operator.post(KEYS, json={"displayName": "x"})
    assert answer.status_code == 400
    assert answer.json()["details"][1]["fieldViolations"][0]["field"] == "api_key.role"


async def test_other_platforms_come_with_a_token_over_grpc(
    addresses: app.Addresses, settings: Settings
) -> None:
    assert settings.signing_key_file is not None
    minter = TokenMinter.from_file(settings.signing_key_file, "visiontune-gateway")
    token = minter.mint(Principal("key:x", "default", Role.VIEWER, Kind.USER))
    async with channels.connect(addresses.grpc) as channel:
        stub = identity_pb2_grpc.IdentityServiceStub(channel)
        caller = await stub.GetCaller(
            identity_pb2.GetCallerRequest(), metadata=(("authorization", f"Bearer {token}"),)
        )
    assert (caller.subject, caller.project) == ("key:x", "projects/default")


async def test_a_token_is_minted_once_and_renewed_before_it_ends(settings: Settings) -> None:
    key = await provide_api_key(settings, "default", Role.VIEWER, "")
    database, now = Database.open(settings.database_url), [0.0]
    deps = app.deps_of(settings, database)
    exchange = Exchange(deps, monotonic=lambda: now[0])
    first = await exchange.token_for(f"Bearer {key}")
    assert await exchange.token_for(f"bearer {key}") == first
    async with UnitOfWork(database) as uow:
        await uow.keys.remove(key.split("_")[1])
        await uow.commit()
    assert await exchange.token_for(f"Bearer {key}") == first, "known for some minutes"
    now[0] = TOKEN_TTL_S - 60
    with pytest.raises(Exception, match="not valid"):  # and dead within five
        await exchange.token_for(f"Bearer {key}")
    await database.close()
