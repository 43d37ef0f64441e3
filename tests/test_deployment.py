"""The stacks' files and the workflows: what an operator's machine, or CI, would find out late."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STACKS = ("local-dev", "dev-deploy")
EXAMPLE = "production-example"
WORKFLOWS = sorted(path.name for path in (ROOT / ".github/workflows").glob("*.yml"))


def compose(folder: str) -> dict[str, Any]:
    """Return a stack's compose file."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "tools" / folder / "compose.yaml").read_text())
    return document


def targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("stack", STACKS)
def test_everything_carries_the_label_of_its_stack(stack: str) -> None:
    """Every service, network and named volume has the stack's label, by which clean-up goes, and a name of its own."""
    document = compose(stack)
    things = [thing for kind in ("services", "networks", "volumes") for thing in document[kind].values()]
    assert len(things) > 7
    assert {tuple(thing["labels"].items()) for thing in things} == {(("galaxy.stack", f"${{STACK:-{stack}}}"),)}
    for kind in ("networks", "volumes"):
        assert all(thing["name"].startswith(f"galaxy-${{STACK:-{stack}}}") for thing in document[kind].values())
    environment = document["services"]["backend"]["environment"]
    assert environment["BACKEND_STACK_LABEL"] == f"${{STACK:-{stack}}}"
    assert environment["BACKEND_DOCKER_NETWORK"] == document["networks"]["engines"]["name"]


@pytest.mark.parametrize("stack", STACKS)
def test_targets_of_a_stack(stack: str) -> None:
    """Each stack has the targets that operators know, and dev-deploy reaps before it starts."""
    makefile = (ROOT / "tools" / stack / "Makefile").read_text()
    found = dict(re.findall(r"^([a-z-]+):([a-z ]*)", makefile, re.MULTILINE))
    assert {"up", "down", "logs", "clean-data", "clean-engines"} <= found.keys()
    assert ("reap" in found["up"].split()) is (stack == "dev-deploy")


@pytest.mark.parametrize("folder", ["dev-deploy", EXAMPLE])
def test_the_proxy_alone_has_the_socket(folder: str) -> None:
    """No other service mounts the Docker socket, and the proxy shares a network with the backend alone."""
    services = compose(folder)["services"]
    mounts = {
        name: [volume for volume in each.get("volumes", ()) if "docker.sock" in volume]
        for name, each in services.items()
    }
    assert [name for name, found in mounts.items() if found] == ["docker-proxy"]
    assert services["docker-proxy"]["networks"] == ["docker"]
    assert [name for name, each in services.items() if "docker" in each.get("networks", ())] == [
        "backend",
        "docker-proxy",
    ]


@pytest.mark.parametrize(("folder", "names"), [(stack, ("backend", "gateway")) for stack in STACKS] + [(EXAMPLE, None)])
def test_containers_are_hardened(folder: str, names: tuple[str, ...] | None) -> None:
    """Ours have a read-only root, no capabilities, and the user of their image; of production all services are so."""
    services = compose(folder)["services"]
    for name in names or services:
        service = services[name]
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        user = service.get("user")
        assert user is None if service["image"].split("/")[-1].startswith(("backend", "gateway")) else user != "0:0", (
            name
        )


def test_both_forges_have_the_same_workflows() -> None:
    """What runs at GitHub runs at Gitea."""
    assert WORKFLOWS == ["ci.yml", "preview.yml"]
    for name in WORKFLOWS:
        assert (ROOT / ".github/workflows" / name).read_text() == (ROOT / ".gitea/workflows" / name).read_text()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_steps_are_targets_of_the_makefile(name: str) -> None:
    """Each step of a workflow is a target that runs on a developer's machine too."""
    document = yaml.safe_load((ROOT / ".github/workflows" / name).read_text())
    steps = [step["run"] for job in document["jobs"].values() for step in job["steps"] if "run" in step]
    assert steps
    for step in steps:
        command = re.fullmatch(r"(?:sudo )?make ([a-z-]+)", step)
        assert command, step
        assert command[1] in targets()


def test_who_deploys() -> None:
    """Only a push to development deploys, after all tests; a preview is started by hand; both one at a time."""
    ci, preview = (yaml.safe_load((ROOT / ".github/workflows" / name).read_text()) for name in WORKFLOWS)
    events = ci[True]  # YAML 1.1 reads the key `on` so
    assert events["push"]["branches"] == ["feature/**", "development"]
    deploy = ci["jobs"].pop("deploy")
    assert deploy["if"] == "github.event_name == 'push' && github.ref == 'refs/heads/development'"
    assert deploy["needs"] == list(ci["jobs"])
    assert list(preview[True]) == ["workflow_dispatch"]
    assert preview["jobs"]["preview"]["concurrency"] == deploy["concurrency"]
