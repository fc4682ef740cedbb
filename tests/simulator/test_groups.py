"""Runner groups: what they hold, whom they serve, and what cannot be done to them."""

from typing import Any

import pytest

from runners.simulator import Seed, Simulator
from tests.simulator.client import Client
from tests.simulator.listener import Listener, jit_listener, register

GROUPS = "/orgs/acme/actions/runner-groups"


def make(admin: Client, name: str = "GPU", path: str = GROUPS, **wishes: Any) -> dict[str, Any]:
    made = admin.post(path, {"name": name, **wishes})
    assert made.status_code == 201, made.text
    return made.json()


def repository_id(admin: Client, name: str) -> int:
    return admin.get(f"/repos/acme/{name}").json()["id"]


def grouped(admin: Client, **wishes: Any) -> Listener:
    return jit_listener(admin, group_id=make(admin, **wishes)["id"])


def test_every_scope_has_a_default_group(admin: Client) -> None:
    for scope in ("orgs/acme", "enterprises/big-corp"):
        (group,) = admin.get(f"/{scope}/actions/runner-groups").json()["runner_groups"]
        assert (group["id"], group["name"], group["default"]) == (1, "Default", True)
        assert group["allows_public_repositories"] is False


def test_group_takes_runners_in_and_gives_them_back(admin: Client) -> None:
    runner_id = register(admin).json()["runner_id"]
    group = make(admin, runners=[runner_id])
    members = f"{GROUPS}/{group['id']}/runners"
    assert [r["id"] for r in admin.get(members).json()["runners"]] == [runner_id]
    assert admin.delete(f"{members}/{runner_id}").status_code == 204
    assert admin.get(members).json()["total_count"] == 0
    assert admin.put(f"{members}/{runner_id}").status_code == 204
    assert admin.get(members).json()["total_count"] == 1
    assert admin.put(members, {"runners": []}).status_code == 204
    (runner,) = admin.get("/orgs/acme/actions/runners").json()["runners"]
    assert runner["runner_group_id"] == 1


def test_group_with_runners_cannot_be_deleted(admin: Client) -> None:
    group = make(admin, runners=[register(admin).json()["runner_id"]])
    assert admin.delete(f"{GROUPS}/{group['id']}").status_code == 422
    assert admin.put(f"{GROUPS}/{group['id']}/runners", {"runners": []}).status_code == 204
    assert admin.delete(f"{GROUPS}/{group['id']}").status_code == 204
    assert admin.get(f"{GROUPS}/{group['id']}").status_code == 404


def test_default_group_cannot_be_deleted(admin: Client) -> None:
    assert admin.delete(f"{GROUPS}/1").status_code == 422


def test_name_taken_is_a_conflict(admin: Client) -> None:
    make(admin, "GPU")
    assert admin.post(GROUPS, {"name": "gpu"}).status_code == 409


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x", "visibility": "public"}])
def test_bad_group_is_refused(admin: Client, body: dict[str, str]) -> None:
    assert admin.post(GROUPS, body).status_code == 422


def test_group_can_be_changed(admin: Client) -> None:
    group = make(admin)
    changed = admin.patch(f"{GROUPS}/{group['id']}", {"name": "Fast", "visibility": "private"})
    assert (changed.json()["name"], changed.json()["visibility"]) == ("Fast", "private")


def test_selected_group_serves_its_repositories_only(sim: Simulator, admin: Client) -> None:
    chosen = repository_id(admin, "web")
    listener = grouped(admin, visibility="selected", selected_repository_ids=[chosen])
    sim.queue_job("acme/api")
    assert listener.offered() is None
    sim.queue_job("acme/web")
    assert listener.offered() is not None


def test_selection_of_repositories_is_edited_one_by_one(admin: Client) -> None:
    web, api = repository_id(admin, "web"), repository_id(admin, "api")
    group = make(admin, visibility="selected", selected_repository_ids=[web])
    path = f"{GROUPS}/{group['id']}/repositories"
    assert admin.put(f"{path}/{api}").status_code == 204
    assert {r["name"] for r in admin.get(path).json()["repositories"]} == {"web", "api"}
    assert admin.delete(f"{path}/{web}").status_code == 204
    assert admin.delete(f"{path}/{web}").status_code == 404
    assert admin.put(path, {"selected_repository_ids": [web]}).status_code == 204
    assert [r["name"] for r in admin.get(path).json()["repositories"]] == ["web"]
    assert admin.put(path, {"selected_repository_ids": [1]}).status_code == 404


def test_selection_needs_a_group_that_selects(admin: Client) -> None:
    group = make(admin)
    path = f"{GROUPS}/{group['id']}/repositories/{repository_id(admin, 'web')}"
    assert admin.put(path).status_code == 422


@pytest.mark.parametrize(
    ("wishes", "served"),
    [({}, False), ({"allows_public_repositories": True}, True), ({"visibility": "private"}, False)],
)
def test_public_repository_is_served_only_where_allowed(
    wishes: dict[str, object], served: bool
) -> None:
    with Simulator(Seed(public_repositories=("acme/open",))) as sim:
        listener = grouped(Client(sim, sim.token), **wishes)
        sim.queue_job("acme/open")
        assert (listener.offered() is not None) == served


def test_group_restricted_to_workflows_serves_those_only(sim: Simulator, admin: Client) -> None:
    allowed = "acme/web/.github/workflows/ci.yml@refs/heads/main"
    listener = grouped(admin, restricted_to_workflows=True, selected_workflows=[allowed])
    sim.queue_job("acme/api")
    assert listener.offered() is None
    sim.queue_job("acme/web")
    assert listener.offered() is not None


def test_visible_to_repository_lists_the_groups_it_may_use(admin: Client) -> None:
    make(
        admin, "Only", visibility="selected", selected_repository_ids=[repository_id(admin, "web")]
    )
    names = {}
    for repository in ("web", "api", "nothing"):
        query = {"visible_to_repository": repository}
        groups = admin.get(GROUPS, params=query).json()["runner_groups"]
        names[repository] = [group["name"] for group in groups]
    assert names == {"web": ["Default", "Only"], "api": ["Default"], "nothing": []}


def test_enterprise_group_is_inherited_by_the_organizations_it_selects(admin: Client) -> None:
    path = "/enterprises/big-corp/actions/runner-groups"
    shared = make(admin, "Shared", path)
    make(admin, "Others", path, visibility="selected", selected_organization_ids=[])
    groups = admin.get(GROUPS).json()["runner_groups"]
    assert [(g["name"], g["inherited"]) for g in groups] == [("Default", False), ("Shared", True)]
    assert admin.get(f"{GROUPS}/{shared['id']}").json()["inherited"] is True
    assert admin.delete(f"{GROUPS}/{shared['id']}").status_code == 404


def test_enterprise_group_selects_organizations(sim: Simulator, admin: Client) -> None:
    path = "/enterprises/big-corp/actions/runner-groups"
    group = make(admin, "Some", path, visibility="selected")
    listener = jit_listener(admin, scope="enterprises/big-corp", group_id=group["id"])
    sim.queue_job("acme/web")
    assert listener.offered() is None
    acme = admin.get("/orgs/acme").json()["id"]
    organizations = f"{path}/{group['id']}/organizations"
    assert admin.put(f"{organizations}/{acme}").status_code == 204
    listed = admin.get(organizations).json()["organizations"]
    assert [o["login"] for o in listed] == ["acme"]
    assert listener.offered() is not None


def test_full_group_takes_no_more_runners(sim: Simulator, admin: Client) -> None:
    sim.settings.limits.runners_per_group = 1
    assert register(admin, "a").status_code == 201
    assert register(admin, "b").status_code == 422
