"""What lies under deploy/ fits the program: files, packages, options, endpoints and metrics."""

from __future__ import annotations

import configparser
import itertools
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness import HANG_GUARD_S, ROOT, binary, run_ok
from serving import Server, serving

DEPLOY = ROOT / "deploy"
CONTAINER = DEPLOY / "container"
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "dms.yaml").read_text()))
RULES = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus-adapter.yaml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana" / "dms.json").read_text())
MONITOR = yaml.safe_load((DEPLOY / "kubernetes" / "podmonitor.yaml").read_text())
METRIC = re.compile(r"\bdms:\w+")
DRAIN_S = 30  # --drain-timeout by default


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that has been asked something, so that all its metrics are there."""
    with serving("--kv-memory", "64MiB") as server:
        server.complete("It was a dark night", max_tokens=2)
        yield server


@pytest.fixture(scope="module")
def exported(server: Server) -> set[str]:
    """Names of the samples at /metrics."""
    return set(METRIC.findall(server.request("GET", "/metrics")[2]))


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of the Containerfile, from FROM to FROM."""
    text = (CONTAINER / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    logical = "\n".join(lines).replace("\\\n", " ").splitlines()
    found: list[list[tuple[str, str]]] = []
    for line in filter(str.strip, logical):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def all_of(instructions: list[tuple[str, str]], wanted: str) -> list[str]:
    return [rest for word, rest in instructions if word == wanted]


def installed(instructions: list[tuple[str, str]]) -> set[str]:
    """Packages that a stage installs."""
    for run in all_of(instructions, "RUN"):
        if match := re.search(r"apt-get install -y --no-install-recommends ([^&]+)&&", run):
            assert run.startswith("apt-get update &&"), "an old cached layer would be used"
            assert "rm -rf /var/lib/apt/lists/*" in run
            return set(match[1].split())
    raise AssertionError("no packages")


def test_the_image_copies_what_is_there():
    build, final = stages()
    ignored = (ROOT / ".containerignore").read_text()
    assert (CONTAINER / "Containerfile.dockerignore").read_text() == ignored
    let_in = {line[1:] for line in ignored.splitlines() if line.startswith("!")}
    copied = set()
    for copy in all_of(build, "COPY") + all_of(final, "COPY"):
        words = [word for word in copy.split() if not word.startswith("--")]
        if "--from=build" not in copy:
            copied |= set(words[:-1])
    assert copied == let_in
    assert all((ROOT / path).exists() for path in copied)


def test_the_image_installs_what_the_build_needs():
    run_script = (ROOT / "scripts" / "run").read_text().replace("\\\n", " ")
    needed = re.search(r"scripts/setup_packages (g\+\+ .*)", run_script)
    assert needed
    assert installed(stages()[0]) == {*needed[1].split(), "python3-venv"}


def test_the_image_installs_what_the_program_links():
    dynamic, linked = (
        subprocess.run([*command, binary()], capture_output=True, text=True, check=True).stdout
        for command in (["readelf", "-d"], ["ldd"])
    )
    names = re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic)
    assert names
    packages = set()
    for name in names:
        path = re.search(rf"^\s*{re.escape(name)} => (\S+)", linked, re.MULTILINE)
        if path:
            # Packages know files by their place before /usr was merged.
            places = [path[1], str(Path(path[1]).resolve()), path[1].removeprefix("/usr")]
            owner = subprocess.run(["dpkg", "-S", *places], capture_output=True, text=True)
            packages.add(owner.stdout.split(":")[0])
    assert installed(stages()[1]) == packages - {"libc6"}


def test_the_image_is_run_by_nobody_in_particular():
    final = stages()[-1]
    words = [word for word, _ in final]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", all_of(final, "USER")[-1])
    assert max(i for i, word in enumerate(words) if word in ("RUN", "COPY")) < words.index("USER")
    assert json.loads(all_of(final, "ENTRYPOINT")[0]) == ["dms"]
    assert json.loads(all_of(final, "CMD")[0]) == ["serve", "/model"]
    assert all(":" in rest.split(" ")[0] for stage in stages() for rest in all_of(stage, "FROM"))
    settings = dict(pair.split("=") for pair in all_of(final, "ENV")[0].split())
    assert settings == {"DMS_HOST": "0.0.0.0", "DMS_PORT": all_of(final, "EXPOSE")[0]}


def is_healthy(port: int, *path: str) -> bool:
    """What the image's health check says."""
    check = [CONTAINER / "healthcheck", *path]
    environment = {"DMS_PORT": str(port), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(check, env=environment, capture_output=True, timeout=HANG_GUARD_S)
    return done.returncode == 0


def test_the_health_check_tells_a_server_from_none(server):
    assert is_healthy(server.port)
    assert is_healthy(server.port, "/livez")
    assert not is_healthy(server.port, "/healthy")
    with serving() as other:
        other.stop()
        assert not is_healthy(other.port)


def the(kind: str) -> dict:
    """The manifest of a kind."""
    (found,) = [each for each in MANIFESTS if each["kind"] == kind]
    return found


def pod() -> dict:
    return the("Deployment")["spec"]["template"]["spec"]


def test_the_manifests_name_one_another():
    labels = the("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert the("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert the("Service")["spec"]["selector"] == labels
    assert the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    target = the("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", the("Deployment")["metadata"]["name"])
    (container,) = pod()["containers"]
    assert MONITOR["spec"]["selector"]["matchLabels"] == labels
    (endpoint,) = MONITOR["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == container["ports"][0]["name"]
    secrets = {v["secret"]["secretName"] for v in pod()["volumes"] if "secret" in v}
    assert endpoint["authorization"]["credentials"]["name"] in secrets
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod()["volumes"]}
    assert all(mount["readOnly"] for mount in mounts.values())
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    claim = volumes["model"]["persistentVolumeClaim"]["claimName"]
    assert claim == the("PersistentVolumeClaim")["metadata"]["name"]
    assert volumes["config"]["configMap"]["name"] == the("ConfigMap")["metadata"]["name"]
    assert the("Service")["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]


def test_the_pod_is_the_images_and_may_do_little():
    (container,) = pod()["containers"]
    user = all_of(stages()[-1], "USER")[-1]
    security = pod()["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == user
    assert security["runAsNonRoot"]
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert not own["allowPrivilegeEscalation"]
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert not pod()["automountServiceAccountToken"]
    image, version = container["image"].split(":")
    assert (image, f"dms {version}") == ("dms", run_ok("--version").strip())


def test_the_probes_are_answered(server):
    (container,) = pod()["containers"]
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/health", "readiness": "/health", "liveness": "/livez"}
    assert [server.request("GET", path)[0] for path in paths.values()] == [200] * 3


def test_the_pod_has_time_to_end():
    (container,) = pod()["containers"]
    config = yaml.safe_load(the("ConfigMap")["data"]["serve.yaml"])
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod()["terminationGracePeriodSeconds"] > pause + config["drain-timeout"]


CONFIGS = {
    "kubernetes": the("ConfigMap")["data"]["serve.yaml"],
    "systemd": (DEPLOY / "systemd" / "serve.yaml").read_text(),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configured_server_starts(name, tmp_path):
    """With its own file of options, but for the place and the size of this machine."""
    config = tmp_path / "serve.yaml"
    config.write_text(CONFIGS[name])
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    own = ("--config", config, "--api-key-file", keys, "--host", "127.0.0.1")
    with serving(*own, "--kv-memory", "64MiB", "--swap-space", "64MiB") as server:
        (endpoint,) = MONITOR["spec"]["podMetricsEndpoints"]
        assert server.request("GET", endpoint["path"])[0] == 401
        headers = {"Authorization": f"{endpoint['authorization']['type']} secret"}
        assert server.request("GET", endpoint["path"], headers=headers)[0] == 200
        assert server.request("GET", "/v1/models", headers=headers)[0] == 200
        assert server.stop() == 0


def test_the_autoscalers_metrics_are_made_of_exported_ones(exported):
    rules = {rule["name"]["as"]: rule for rule in RULES["rules"]["custom"]}
    metrics = the("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert {metric["pods"]["metric"]["name"] for metric in metrics} == set(rules)
    for rule in rules.values():
        names = set(METRIC.findall(rule["seriesQuery"] + rule["metricsQuery"]))
        assert names
        assert names <= exported


def panels() -> list[dict]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_the_dashboard_asks_for_exported_metrics(exported):
    asked = set()
    for panel in panels():
        for target in panel["targets"]:
            names = set(METRIC.findall(target["expr"]))
            assert names <= exported, panel["title"]
            assert names, panel["title"]
            assert target["expr"].count("(") == target["expr"].count(")")
            asked |= names
    for variable in DASHBOARD["templating"]["list"][1:]:
        assert set(METRIC.findall(variable["definition"])) <= exported
    for name in (
        "dms:time_to_first_token_seconds_bucket",
        "dms:generation_tokens_total",
        "dms:num_requests_waiting",
        "dms:kv_bytes_running",
        "dms:kv_bytes_limit",
        "dms:kv_entries_held",
        "dms:prefix_cache_hits_total",
        "dms:document_bytes",
        "dms:slot_hits_total",
        "dms:num_preemptions_total",
        "dms:http_requests_total",
    ):
        assert name in asked


def test_the_dashboards_panels_stand_side_by_side():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        columns = range(at["x"], at["x"] + at["w"])
        cells = set(itertools.product(columns, range(at["y"], at["y"] + at["h"])))
        assert max(columns) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters="=")
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read(DEPLOY / "systemd" / "dms.service")
    return parser


def test_the_unit_starts_the_program_with_options_it_has(unit):
    command = shlex.split(unit["Service"]["ExecStart"])
    assert command[:2] == ["/usr/local/bin/dms", "serve"]
    options = [word for word in command if word.startswith("--")]
    known = re.findall(r"(--[a-z-]+)", run_ok("serve", "--help"))
    assert options
    assert set(options) <= set(known)
    assert int(unit["Service"]["TimeoutStopSec"]) > DRAIN_S


def test_the_unit_is_hardened(unit, tmp_path):
    service = unit["Service"]
    for name, value in {
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "PrivateDevices": "yes",
        "RestrictNamespaces": "yes",
    }.items():
        assert service[name] == value
    assert service["MemoryMax"]
    # Where systemd is: its own opinion. Without it the rest of this still holds.
    if shutil.which("systemd-analyze"):
        copy = tmp_path / "dms.service"
        text = (DEPLOY / "systemd" / "dms.service").read_text()
        copy.write_text(text.replace("/usr/local/bin/dms", str(binary())))
        done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


SHAPES = {
    "SmolLM2-135M": "smollm2-135m.json",
    "Llama-3.2-1B": "llama-3.2-1b.json",
    "Qwen3-8B": "qwen3-8b.json",
}
SIZED_TOKENS, SIZED_WINDOW, SIZED_MEMORY = 8192, 256, 52 << 30


def sizes(shape: dict) -> list[float]:
    """Bytes of a conversation: dense, CR 4, CR 8, and that in int8 and in 4 bits."""
    token, head_dim = shape["kv_bytes_per_token"], shape["head_dim"]

    def compact(ratio: float, code_bytes: float) -> float:
        """Codes and a bf16 scale for each side of a token and head."""
        share = code_bytes * head_dim / (2 * head_dim) + (0 if code_bytes == 2 else 1 / head_dim)
        older = (SIZED_TOKENS - SIZED_WINDOW) / ratio
        return token * (SIZED_WINDOW + 32 + share * older)

    return [token * SIZED_TOKENS, compact(4, 2), compact(8, 2), compact(8, 1), compact(8, 0.5)]


def spelled(size: float) -> str:
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.2f} GiB"


def test_the_sizes_in_the_document_are_the_programs():
    text = (ROOT / "docs" / "scaling.md").read_text()
    for name, file in SHAPES.items():
        shape = json.loads(run_ok("inspect", ROOT / "configs" / "shapes" / file, "--json"))
        cells = [shape[key] for key in ("layers", "kv_heads", "head_dim", "kv_bytes_per_token")]
        row = [name, *map(str, cells), *map(spelled, sizes(shape))]
        assert f"| {' | '.join(row)} |" in text
    fitting = [str(int(SIZED_MEMORY / size)) for size in sizes(shape)]
    assert f"| conversations at once | {' | '.join(fitting)} |" in text


def test_all_of_it_is_in_the_index():
    index = (DEPLOY / "README.md").read_text()
    for folder in sorted(path.name for path in DEPLOY.iterdir() if path.is_dir()):
        assert f"]({folder}/" in index
